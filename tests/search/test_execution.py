"""One trial: stepped, saved, taken up, its failures typed."""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from search import execution
from search.checkpoints import Checkpoint, Checkpoints
from search.engine import record
from search.execution import Evaluate, Execution, Progress
from search.ledger import GoesOn, Ledger
from search.trials import Failure, FailureKind, Job, Report, State, Trial
from space.design import Design


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Job:
    return make_job("ras:depth=3", seed=7)


@pytest.fixture
def checkpoint(tmp_path: Path, job: Job) -> Checkpoint:
    return Checkpoints(tmp_path / "checkpoints", "study").of(0, job)


def without_time(reports: tuple[Report, ...]) -> list[dict[str, float]]:
    return [{name: value for name, value in report.items() if name != "time"} for report in reports]


def to_the_end(running: Execution) -> Progress:
    """Advance until there is nothing left to advance; what it told on the way, together."""
    reports: tuple[Report, ...] = ()
    notes: tuple[str, ...] = ()
    for _ in range(100):
        progress = running.advance(seconds=0.0)
        reports, notes = reports + progress.reports, notes + progress.notes
        if progress.over:
            return replace(progress, reports=reports, notes=notes)
    pytest.fail("never over")


def test_advancing_for_no_time_trains_one_epoch(
    job: Job, checkpoint: Checkpoint, make_curves: Callable[..., Evaluate]
) -> None:
    running = Execution(job, make_curves(epochs=3), checkpoint)
    seen = [running.advance(seconds=0.0) for _ in range(3)]
    assert [[report["epoch"] for report in progress.reports] for progress in seen] == [[1], [2], [3]]
    assert [progress.done for progress in seen] == [False, False, True]
    assert [progress.over for progress in seen] == [False, False, True]


def test_advancing_for_long_trains_to_the_end_in_one_go(
    job: Job, checkpoint: Checkpoint, make_curves: Callable[..., Evaluate]
) -> None:
    progress = Execution(job, make_curves(epochs=5), checkpoint).advance(seconds=1e9)
    assert [report["epoch"] for report in progress.reports] == [1, 2, 3, 4, 5]
    assert progress.done


@pytest.mark.parametrize("epochs_before", [1, 2, 4])
def test_a_saved_trial_is_taken_up_to_the_same_reports(
    job: Job, checkpoint: Checkpoint, make_curves: Callable[..., Evaluate], epochs_before: int
) -> None:
    uninterrupted = to_the_end(Execution(job, make_curves(epochs=5), checkpoint))
    first = Execution(job, make_curves(epochs=5), checkpoint)
    for _ in range(epochs_before):
        first.advance(seconds=0.0)
    first.save()
    trained: list[int] = []
    second = make_curves(epochs=5, at_step=lambda design, epoch: trained.append(epoch))
    resumed = to_the_end(Execution(job, second, checkpoint))
    assert without_time(resumed.reports) == without_time(uninterrupted.reports)
    assert trained == list(range(epochs_before + 1, 6))


def test_a_trial_interrupted_twice_is_taken_up_twice(
    job: Job, checkpoint: Checkpoint, make_curves: Callable[..., Evaluate]
) -> None:
    for _ in range(3):
        running = Execution(job, make_curves(epochs=4), checkpoint)
        running.advance(seconds=0.0)
        running.save()
    last = to_the_end(Execution(job, make_curves(epochs=4), checkpoint))
    assert [report["epoch"] for report in last.reports] == [1, 2, 3, 4]


def test_a_trial_that_has_not_begun_or_is_done_is_not_saved(
    job: Job, checkpoint: Checkpoint, make_curves: Callable[..., Evaluate]
) -> None:
    running = Execution(job, make_curves(), checkpoint)
    running.save()
    to_the_end(running)
    running.save()
    assert not checkpoint.path.exists()


def test_a_long_trial_is_saved_on_the_way(
    job: Job, checkpoint: Checkpoint, make_curves: Callable[..., Evaluate]
) -> None:
    running = Execution(job, make_curves(epochs=3), replace(checkpoint, every=-1.0))
    for epochs in (1, 2):
        running.advance(seconds=0.0)
        running.save()  # waits for what is being written
        saved = checkpoint.load()
        assert saved is not None
        assert len(saved["reports"]) == epochs


class Slow(Checkpoint):
    """One whose place answers only when it is told to."""

    answers = threading.Event()

    def write(self, packed: bytes) -> None:
        assert self.answers.wait(60)
        super().write(packed)


def test_a_training_goes_on_while_its_state_is_being_written(
    job: Job, checkpoint: Checkpoint, make_curves: Callable[..., Evaluate]
) -> None:
    Slow.answers.clear()
    slow = Slow(checkpoint.path, checkpoint.owner, every=-1.0)
    running = Execution(job, make_curves(epochs=4), slow)
    epochs = [report["epoch"] for _ in range(3) for report in running.advance(seconds=0.0).reports]
    assert epochs == [1, 2, 3]
    assert checkpoint.load() is None
    Slow.answers.set()
    running.save()
    saved = checkpoint.load()
    assert saved is not None
    assert [report["epoch"] for report in saved["reports"]] == [1, 2, 3]


@pytest.mark.parametrize("keep", [False, True])
def test_what_a_trial_saved_last_stays_if_it_is_to(
    job: Job, checkpoint: Checkpoint, make_curves: Callable[..., Evaluate], keep: bool
) -> None:
    kept = replace(checkpoint, keep=keep)
    to_the_end(Execution(job, make_curves(epochs=2), kept))
    kept.remove()
    saved = checkpoint.load()
    assert (saved is not None) is keep
    assert saved is None or [report["epoch"] for report in saved["reports"]] == [1, 2]


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (
            FloatingPointError("loss is nan in epoch 2"),
            FailureKind.NAN,
            "(FloatingPointError: )?loss is nan in epoch 2",
        ),
        (MemoryError("no room"), FailureKind.OUT_OF_MEMORY, "MemoryError: no room"),
        (torch.OutOfMemoryError("CUDA out of memory.\nTried"), FailureKind.OUT_OF_MEMORY, "OutOfMemoryError: CUDA .*"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"),
            FailureKind.OUT_OF_MEMORY,
            "RuntimeError: .*",
        ),
        (
            torch.AcceleratorError("CUDA error: out of memory"),
            FailureKind.OUT_OF_MEMORY,
            "AcceleratorError: CUDA error: .*",
        ),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"),
            FailureKind.OUT_OF_MEMORY,
            "RuntimeError: CUDA error: .*",
        ),
        (torch.AcceleratorError("CUDA error: illegal\nx"), FailureKind.DEVICE, "AcceleratorError: CUDA error: illegal"),
        (RuntimeError("CUDA error: device-side assert triggered"), FailureKind.DEVICE, "RuntimeError: CUDA error: .*"),
        (
            RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
            FailureKind.DEVICE,
            "RuntimeError: cuDNN error: .*",
        ),
        (OSError(28, "No space left on device"), FailureKind.ERROR, r"OSError: \[Errno 28\] No space left on device"),
        (ValueError("first line\nsecond line"), FailureKind.ERROR, "ValueError: first line"),
        (KeyError("missing"), FailureKind.ERROR, "KeyError: 'missing'"),
        (AssertionError(), FailureKind.ERROR, "AssertionError: ?"),
    ],
)
def test_a_failure_has_a_kind_and_a_reason_of_one_line(
    error: Exception,
    kind: FailureKind,
    reason: str,
    job: Job,
    checkpoint: Checkpoint,
    make_curves: Callable[..., Evaluate],
) -> None:
    def at_step(design: Design, epoch: int) -> None:
        if epoch == 2:
            raise error

    progress = to_the_end(Execution(job, make_curves(at_step=at_step), checkpoint))
    assert progress.failure is not None
    assert progress.failure.kind is kind
    again = "; with half of a batch at a time, too" if kind is FailureKind.OUT_OF_MEMORY else ""
    assert re.fullmatch(reason + again, progress.failure.reason)
    assert {report["epoch"] for report in progress.reports} == {1}
    assert not progress.done


@pytest.mark.parametrize("error", [FloatingPointError(), FloatingPointError("a\nb")], ids=["no message", "two lines"])
def test_the_reason_of_a_nan_is_one_line_too(
    error: Exception, job: Job, checkpoint: Checkpoint, make_curves: Callable[..., Evaluate]
) -> None:
    def at_step(design: Design, epoch: int) -> None:
        raise error

    failure = to_the_end(Execution(job, make_curves(at_step=at_step), checkpoint)).failure
    assert failure is not None
    assert len(failure.reason.splitlines()) == 1


class Batches:
    """A training of three epochs that needs as much memory as the images that go through it at once."""

    def __init__(self, room: int, from_epoch: int) -> None:
        self._room, self._from_epoch = room, from_epoch
        self._at_once, self._epoch = 64, 0

    @property
    def done(self) -> bool:
        return self._epoch == 3

    def step(self) -> Mapping[str, float]:
        if self._epoch + 1 >= self._from_epoch and self._at_once > self._room:
            torch.empty(2**60, dtype=torch.uint8)  # no machine has that
        self._epoch += 1
        return {"epoch": float(self._epoch), "seconds": 0.0, "at_once": float(self._at_once)}

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self._epoch, "at_once": self._at_once}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._epoch, self._at_once = state["epoch"], state["at_once"]

    def halve_batches(self) -> None:
        self._at_once //= 2


@pytest.mark.parametrize(("save", "trained_whole"), [(True, 1), (False, 0)], ids=["from its checkpoint", "from anew"])
def test_where_memory_runs_out_it_goes_on_with_half_of_a_batch_at_a_time(
    job: Job, checkpoint: Checkpoint, save: bool, trained_whole: int
) -> None:
    running = Execution(job, lambda *_: Batches(room=32, from_epoch=2), checkpoint)
    told = running.advance(seconds=0.0).reports
    if save:
        running.save()
    ended = to_the_end(running)
    at_once = {report["epoch"]: report["at_once"] for report in (*told, *ended.reports)}
    assert ended.done
    assert ended.failure is None
    assert at_once == {epoch: 64 if epoch <= trained_whole else 32 for epoch in (1, 2, 3)}
    assert [note for note in ended.notes if "half of a batch at a time" in note] == list(ended.notes)
    assert len(ended.notes) == 1


def test_where_half_of_a_batch_is_too_much_it_has_failed_as_such(job: Job, checkpoint: Checkpoint) -> None:
    ended = to_the_end(Execution(job, lambda *_: Batches(room=16, from_epoch=1), checkpoint))
    assert ended.failure is not None
    assert ended.failure.kind is FailureKind.OUT_OF_MEMORY
    assert ended.failure.reason.endswith("; with half of a batch at a time, too")
    assert not ended.done


def test_an_error_keeps_its_traceback(job: Job, checkpoint: Checkpoint, make_curves: Callable[..., Evaluate]) -> None:
    def at_this_step(design: Design, epoch: int) -> None:
        raise ValueError("x")

    failure = to_the_end(Execution(job, make_curves(at_step=at_this_step), checkpoint)).failure
    assert failure is not None
    assert "Traceback" in failure.details
    assert "at_this_step" in failure.details


def test_an_evaluator_that_fails_to_make_a_training_fails_the_trial(job: Job, checkpoint: Checkpoint) -> None:
    def evaluate(backbone: str, design: Design, seed: int) -> execution.ResumableTraining:
        raise MemoryError("too large")

    failure = Execution(job, evaluate, checkpoint).advance(seconds=0.0).failure
    assert failure is not None
    assert failure.kind is FailureKind.OUT_OF_MEMORY


def test_ctrl_c_is_no_failure_of_the_trial(
    job: Job, checkpoint: Checkpoint, make_curves: Callable[..., Evaluate]
) -> None:
    def at_step(design: Design, epoch: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Execution(job, make_curves(at_step=at_step), checkpoint).advance(seconds=0.0)


REPORTS: tuple[Report, ...] = tuple({"epoch": float(n), "val_accuracy": n / 10} for n in (1, 2, 3))
FAILURE = Failure(kind=FailureKind.NAN, reason="x")


def stop_at_2(trial: Trial, trials: Sequence[Trial]) -> bool:
    return len(trial.history) < 2


@pytest.fixture
def recorded(
    make_ledger: Callable[..., Ledger], make_study: Callable[..., object], checkpoint: Checkpoint
) -> Callable[..., Trial]:
    """Records progresses one after the other: (*progresses, goes_on=None); gives the trial."""

    def record_there(*progresses: Progress, goes_on: GoesOn | None = None) -> Trial:
        ledger = make_ledger(make_study(), goes_on=goes_on)
        ledger.ask()
        checkpoint.save({})
        overs = [record(ledger, 0, progress, checkpoint) for progress in progresses]
        assert overs == [False] * (len(overs) - 1) + [ledger.trials[0].state is not State.RUNNING]
        return ledger.trials[0]

    return record_there


def test_progress_is_handed_to_the_ledger_epoch_by_epoch(recorded: Callable[..., Trial]) -> None:
    trial = recorded(Progress(REPORTS[:1], done=False), Progress(REPORTS[:2], done=False))
    assert (trial.state, trial.history) == (State.RUNNING, REPORTS[:2])


@pytest.mark.parametrize(
    ("progress", "goes_on", "state"),
    [
        (Progress(REPORTS, done=True), None, State.COMPLETE),
        (Progress(REPORTS[:1], done=False, failure=FAILURE), None, State.FAILED),
        (Progress(REPORTS[:2], done=False), stop_at_2, State.STOPPED),
    ],
    ids=["complete", "failed", "stopped"],
)
def test_the_checkpoint_is_removed_once_the_trial_is_told(
    progress: Progress,
    goes_on: GoesOn | None,
    state: State,
    recorded: Callable[..., Trial],
    checkpoint: Checkpoint,
) -> None:
    assert recorded(progress, goes_on=goes_on).state is state
    assert not checkpoint.path.exists()


def test_the_checkpoint_stays_while_the_trial_runs(recorded: Callable[..., Trial], checkpoint: Checkpoint) -> None:
    recorded(Progress(REPORTS[:1], done=False))
    assert checkpoint.path.exists()


@pytest.mark.parametrize(
    "progress",
    [Progress(REPORTS, done=False), Progress(REPORTS, done=True), Progress(REPORTS, done=False, failure=FAILURE)],
    ids=["still running", "done", "failed later"],
)
def test_a_trial_stopped_at_a_rung_is_stopped_however_far_its_worker_got(
    progress: Progress, recorded: Callable[..., Trial]
) -> None:
    """A worker reports once a second: it may be at the end when the ledger sees the rung."""
    trial = recorded(progress, goes_on=stop_at_2)
    assert trial.state is State.STOPPED
    assert trial.history == REPORTS[:2]


def test_a_trial_at_its_last_epoch_is_complete_whatever_the_rung_says(recorded: Callable[..., Trial]) -> None:
    assert recorded(Progress(REPORTS[:2], done=True), goes_on=stop_at_2).state is State.COMPLETE
