"""What is torn, doubled or left over in a study, and how that is mended."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from upath import UPath

from search.checkpoints import Checkpoints, place_of
from search.journal import cut_before, ends_in_the_middle, first_damaged, mend_end, stale_locks
from search.storage import Storage
from search.trials import State, Trial
from space.choices import Candidate


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something about a study that a user should know.

    Attributes:
        says: what it is.
        remedy: what can be done.
        mend: does it, and says what it did; None where that is up to somebody else.
        serious: whether the study cannot be used as it is.
    """

    says: str
    remedy: str
    mend: Callable[[], str] | None = None
    serious: bool = False


def findings(storage: Storage, name: str) -> list[Finding]:
    """Of a study; to be called, and mended, while nobody else can write it.

    Args:
        storage: of the study.
        name: of the study.
    """
    folder, journal = storage.folder(name), storage.journal(name)
    if journal is not None and (line := first_damaged(journal)) is not None:
        return [_torn(journal, line)]
    found = [] if journal is None else [*_left_by_a_killed_process(journal)]
    if not storage.exists(name):
        return found
    record = storage.read(name)
    found += _about(record.trials)
    running = {trial.number for trial in record.trials if trial.state is State.RUNNING}
    checkpoints = Checkpoints(place_of(record.attributes, folder), record.attributes.get("uid", ""))
    left: list[Path | UPath] = [*checkpoints.left_over(running)]
    left += [] if journal is None else folder.glob("*.partial")  # those of a database may share its folder
    if left:
        size = sum(path.stat().st_size for path in left) / 1e6
        says = f"{len(left)} files ({size:.1f} MB) of trials that ended, or that were never written whole"
        found.append(Finding(says=says, remedy="they can go", mend=lambda: _remove(left)))
    return found


def _torn(journal: Path, line: int) -> Finding:
    def mend() -> str:
        return f"its lines before {line} are kept, and the whole file is {cut_before(journal, line).name}"

    says = f"line {line} of {journal} is damaged, so it cannot be read"
    return Finding(says=says, remedy="keep the lines before it", mend=mend, serious=True)


def _left_by_a_killed_process(journal: Path) -> Iterator[Finding]:
    what = ["half a line at the end of its journal"] if ends_in_the_middle(journal) else []
    what += ["a lock of its journal"] if stale_locks(journal) else []
    if what:

        def mend() -> str:
            mend_end(journal)
            return "removed"

        says = f"{' and '.join(what)}, left by a process that was killed"
        yield Finding(says=says, remedy="the next launch removes it, too", mend=mend)


def _about(trials: Iterable[Trial]) -> Iterator[Finding]:
    """What the trials tell themselves."""
    running: list[int] = []
    trained: defaultdict[tuple[Candidate, int], list[int]] = defaultdict(list)
    for trial in trials:
        if trial.state is State.RUNNING:
            running.append(trial.number)
        if trial.state is State.COMPLETE:
            trained[trial.job.candidate, trial.job.seed].append(trial.number)
    if running:
        says = f"on their way when it was stopped: trials {', '.join(map(str, running))}"
        yield Finding(says=says, remedy="the same command goes on with them")
    for ((_, design), seed), numbers in trained.items():
        if len(numbers) > 1:
            says = f"{design} is trained more than once under seed {seed}: trials {', '.join(map(str, numbers))}"
            yield Finding(says=says, remedy="the last one counts")


def _remove(paths: Iterable[Path | UPath]) -> str:
    for path in paths:
        path.unlink(missing_ok=True)
    return "removed"
