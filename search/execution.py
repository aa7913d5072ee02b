"""Running one trial: an evaluator's training, stepped, saved and its failures typed. Both engines use it."""

import contextlib
import gc
import os
import socket
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch

from search.alarm import TimedOut, alarm
from search.checkpoints import Checkpoint
from search.saver import Saver
from search.trials import Failure, FailureKind, Job, Report
from space.design import Design
from space.errors import first_line

NO_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "ALLOC_FAILED")
"""How libraries say it that raise no error of its own for it."""
BROKEN_DEVICE = ("CUDA error", "CUDA driver error", "cuDNN error")


class ResumableTraining(Protocol):
    """One network being trained, an epoch a step."""

    @property
    def done(self) -> bool:
        """Whether all epochs are trained."""

    def step(self) -> Mapping[str, float]:
        """Train an epoch; the report has at least `epoch`, counted from 1, and `seconds`."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values that the next step depends on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""

    def halve_batches(self) -> None:
        """Train in less memory from now on."""


Evaluate = Callable[[str, Design, int], ResumableTraining]
"""(backbone, design, seed) -> a training that has not begun. It is pickled and sent to the workers."""


@dataclass(frozen=True)
class Progress:
    """What `Execution.advance` got done.

    Attributes:
        reports: of the epochs since it was called last; at first those of an interrupted session, too.
        done: whether the training is at its end.
        failure: why it failed, if it did.
        worker: where; empty where nobody knows.
        notes: what the user should know, and was not told before; a line each.
    """

    reports: tuple[Report, ...]
    done: bool
    failure: Failure | None = None
    worker: str = ""
    notes: tuple[str, ...] = ()

    @property
    def over(self) -> bool:
        """Whether there is nothing left to advance."""
        return self.done or self.failure is not None


class Execution:
    """One trial on its way, saved now and then, taken up where it was saved.

    Where memory runs out, it goes on from there once more with half of a batch at a time. Its share of the device is
    its own, so that it would not have more of it alone.

    Args:
        job: what to train.
        evaluate: makes the training.
        checkpoint: for the training's state; an earlier session may have saved it there.
        timeout: seconds after which it has failed, those of an earlier session included; None for any time.
        expendable: whether this process may be ended where a training hangs beyond that.
    """

    def __init__(
        self,
        job: Job,
        evaluate: Evaluate,
        checkpoint: Checkpoint,
        timeout: float | None = None,
        expendable: bool = False,
    ) -> None:
        self._job = job
        self._evaluate = evaluate
        self._checkpoint = checkpoint
        self._timeout = timeout
        self._expendable = expendable
        self._training: ResumableTraining | None = None
        self._reports: list[Report] = []
        self._told = 0
        self._notes: list[str] = []
        self._saver = Saver(checkpoint, self._notes.append)
        self._halved = False
        self._failed = False

    def advance(self, seconds: float) -> Progress:
        """Train whole epochs for at least this long, or to the end; at least one."""
        until = time.monotonic() + seconds
        failure = self._train(until)
        if failure is not None and failure.kind is FailureKind.OUT_OF_MEMORY and self._may_halve:
            self._notes.append(f"{failure.reason}; it goes on with half of a batch at a time")
            self._training = None
            self._halved = True
            _free_memory()
            failure = self._train(until)
        if failure is not None and failure.kind is FailureKind.OUT_OF_MEMORY and self._halved:
            failure = replace(failure, reason=f"{failure.reason}; with half of a batch at a time, too")
        self._failed = failure is not None
        done = failure is None and self._training is not None and self._training.done
        if done and self._checkpoint.keep:
            self._save()
        if done or self._failed:
            self._saver.wait()  # what is over may be removed
        new, self._told = tuple(self._reports[self._told :]), len(self._reports)
        return Progress(new, done, failure, worker_name(), self.notes())

    def _train(self, until: float) -> Failure | None:
        """Train whole epochs up to this time, or to the end; at least one. Returns why it failed, if it did."""
        try:
            if self._training is None:
                with self._alarm():
                    self._training = self._begin()
            with self._alarm():
                while not self._training.done:
                    report = self._training.step()
                    self._reports.append({**report, "time": time.time()})
                    if self._saver.due:
                        self._save()
                    if time.monotonic() >= until:
                        break
        except TimedOut:
            return Failure(kind=FailureKind.TIMEOUT, reason=f"not done after {self._timeout:g} s")
        except Exception as error:  # whatever goes wrong in a trial is the trial's own failure
            return _failure(error)
        return None

    def save(self) -> None:
        """Write the state to the checkpoint; where that cannot be done, the training goes on without."""
        if self._training is not None and not self._training.done and not self._failed:
            self._save()
        self._saver.wait()

    def _save(self) -> None:
        training = self._training
        assert training is not None, "it has begun"
        self._saver.save(lambda: {"training": training.state_dict(), "reports": self._reports}, len(self._reports))

    def notes(self) -> tuple[str, ...]:
        """What the user should know, each told once."""
        told = tuple(self._notes)
        self._notes.clear()
        return told

    @property
    def _may_halve(self) -> bool:
        """Whether it trains, and not yet with half of a batch at a time."""
        return self._training is not None and not self._halved

    def _alarm(self) -> contextlib.AbstractContextManager[None]:
        """Rings when the time is up that its epochs have left."""
        spent = sum(report["seconds"] for report in self._reports)
        return alarm(None if self._timeout is None else self._timeout - spent, expendable=self._expendable)

    def _begin(self) -> ResumableTraining:
        training, reports = self._where_saved()
        if self._halved:
            training.halve_batches()
        self._reports = list(reports)
        self._told = min(self._told, len(reports))
        self._saver.epochs = len(reports)
        return training

    def _where_saved(self) -> tuple[ResumableTraining, Sequence[Report]]:
        """The training with what its checkpoint has, and the reports until then."""
        self._saver.wait()
        training = self._evaluate(self._job.backbone, self._job.design, self._job.seed)
        try:
            saved = self._checkpoint.load()
            if saved is None:
                return training, ()
            training.load_state_dict(saved["training"])
            return training, saved["reports"]
        except Exception as error:  # torn, another's, or of another version of the network
            self._notes.append(f"{self._checkpoint.path} is not taken up ({_reason(error)}); it begins anew")
        del training  # it may have taken up half of the state, and there may be no room for two
        return self._evaluate(self._job.backbone, self._job.design, self._job.seed), ()


def worker_name() -> str:
    """Where this process trains: the host, and the GPUs that it may use."""
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return f"{socket.gethostname()}, GPU {gpus}" if gpus else socket.gethostname()


def _failure(error: Exception) -> Failure:
    kind = _kind(error)
    if kind is FailureKind.OUT_OF_MEMORY:
        _free_memory()
    details = "" if kind in (FailureKind.NAN, FailureKind.OUT_OF_MEMORY) else "".join(traceback.format_exception(error))
    return Failure(kind=kind, reason=_reason(error), details=details)


def _free_memory() -> None:
    """Let others have what is held of nothing that lives."""
    gc.collect()
    if torch.cuda.is_available():
        with contextlib.suppress(RuntimeError):
            torch.cuda.empty_cache()


def _kind(error: Exception) -> FailureKind:
    text = str(error)
    if isinstance(error, FloatingPointError):
        return FailureKind.NAN
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in text for words in NO_MEMORY):
        return FailureKind.OUT_OF_MEMORY
    if isinstance(error, torch.AcceleratorError) or any(words in text for words in BROKEN_DEVICE):
        return FailureKind.DEVICE
    return FailureKind.ERROR


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {first_line(error)}"
