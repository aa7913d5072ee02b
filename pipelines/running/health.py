"""How a session ended, and what it could not train."""

from collections.abc import Sequence

from pipelines.terminal.exit_codes import COMPLETE, FAILED, STOPPED
from search.ledger import Ledger
from search.trials import FailureKind, Trial


def lost_designs(trials: Sequence[Trial]) -> list[str]:
    """The designs that failed by no fault of their own, and have not been trained or to blame since."""
    first = [trial for trial in trials if not trial.job.replicate]
    latest = {trial.job.candidate: trial for trial in first if trial.trained or trial.failure is not None}
    lost = [trial for trial in latest.values() if trial.failure is not None and not trial.failure.own]
    return [f"{trial.job.backbone} {trial.job.design}" for trial in lost]


def how_it_ended(ledger: Ledger, stopped_by: str | None) -> tuple[int, str]:
    """The exit code, and the reason where it is not 0."""
    ended = ledger.ended
    if not ledger.unfinished:
        return (COMPLETE, "") if ledger.trained or not ended else (FAILED, _last_of(ended))
    if not ledger.running and (failed := ledger.hopeless):
        return FAILED, _last_of(failed)
    last = ended[-1] if ended else None
    if last is not None and last.failure is not None and last.failure.kind is FailureKind.DEVICE:
        if not any(trial.trained for trial in ended):
            return FAILED, _last_of(ended)
        return STOPPED, f"stopped by trial {last.number} ({last.job.design}): {last.why_failed}"
    return STOPPED, f"stopped by {stopped_by or 'its engine'}"


def _last_of(failed: Sequence[Trial]) -> str:
    last = failed[-1]
    details = last.failure.details if last.failure is not None else ""
    count = "1 trial" if len(failed) == 1 else f"{len(failed)} trials"
    return f"{count} failed; the last one: {last.why_failed}\n{details}".rstrip()
