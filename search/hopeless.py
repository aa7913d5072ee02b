"""When no other trial is worth beginning, since all that is tried fails."""

from collections.abc import Sequence
from itertools import chain, takewhile

from search.trials import Trial

HANDFUL = 5
"""So many designs that failed, and none that ever trained, say that the next one will fail, too."""
IN_A_ROW = 5
"""So many failures that are not their designs' own, and none trained in between, say that the machine is broken."""


def hopeless(before: Sequence[Trial], ended: Sequence[Trial], running: Sequence[Trial]) -> list[Trial]:
    """The failures after which no other trial is worth beginning now; empty while there is hope.

    What becomes of the trials on their way may change that. A failure that is the design's own says nothing about the
    next design, unless nothing has ever trained and nothing gets further. What a machine did to an earlier session
    may be mended. Where one worker alone fails while others train, it is to blame and not the search; it is kept from
    failing one design after the other, no more.

    Args:
        before: trials that trained or failed in earlier sessions.
        ended: those of this session, in the order of their ends.
        running: trials on their way.
    """
    if ended and not any(trial.trained for trial in chain(before, ended)):
        failed = [trial for trial in before if trial.failure is not None and trial.failure.own]
        failed += [trial for trial in ended if trial.failure is not None]
        further = max(len(trial.history) for trial in failed) + 1
        designs = {trial.job.candidate for trial in failed}
        if len(designs) >= HANDFUL and not any(len(trial.history) >= further for trial in running):
            return failed
    latest = takewhile(lambda trial: not trial.trained, reversed(ended))
    row = [trial for trial in latest if trial.failure is not None and not trial.failure.own]
    return row[::-1] if len(row) >= IN_A_ROW * (2 if _one_worker(row, ended) else 1) else []


def _one_worker(row: Sequence[Trial], ended: Sequence[Trial]) -> bool:
    """Whether they all failed on one worker, while another one has trained in this session."""
    workers = {trial.worker for trial in row}
    return len(workers) == 1 and "" not in workers and any(t.trained and t.worker not in workers for t in ended)
