"""Running one trial: an evaluator's training, stepped, saved and its failures typed. Both engines use it."""

import os
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from search.trials import Failure, Job, Report
from space.design import Design

SAVE_EVERY_SECONDS = 30.0
"""A trial shorter than this is not saved: it is trained again."""


class Training(Protocol):
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


Evaluate = Callable[[str, Design, int], Training]
"""(backbone, design, seed) -> a training that has not begun. It is pickled and sent to the workers."""


@dataclass(frozen=True)
class Progress:
    """What `Execution.advance` got done.

    Attributes:
        reports: of all epochs so far, those of an interrupted session included.
        done: whether the training is at its end.
        failure: why it failed, if it did.
    """

    reports: tuple[Report, ...]
    done: bool
    failure: Failure | None = None

    @property
    def over(self) -> bool:
        """Whether there is nothing left to advance."""
        return self.done or self.failure is not None


class Execution:
    """One trial on its way, saved now and then, taken up where it was saved.

    Args:
        job: what to train.
        evaluate: makes the training.
        checkpoint: file for the training's state; may be there from an earlier session.
    """

    def __init__(self, job: Job, evaluate: Evaluate, checkpoint: Path) -> None:
        self._job = job
        self._evaluate = evaluate
        self._checkpoint = checkpoint
        self._training: Training | None = None
        self._reports: list[Report] = []
        self._saved_at = time.monotonic()
        self._saved_epochs = 0

    def advance(self, seconds: float) -> Progress:
        """Train whole epochs for at least this long, or to the end; at least one."""
        started = time.monotonic()
        try:
            if self._training is None:
                self._training = self._begin()
            while not self._training.done:
                report = self._training.step()
                self._reports.append({**report, "time": time.time()})
                if time.monotonic() - self._saved_at > SAVE_EVERY_SECONDS:
                    self.save()
                if time.monotonic() - started >= seconds:
                    break
            return Progress(tuple(self._reports), done=self._training.done)
        except Exception as error:  # whatever goes wrong in a trial is the trial's own failure
            return Progress(tuple(self._reports), done=False, failure=_failure(error))

    def save(self) -> None:
        """Write the state to the checkpoint, whole or not at all."""
        if self._training is None or self._training.done or self._saved_epochs == len(self._reports):
            return
        self._checkpoint.parent.mkdir(parents=True, exist_ok=True)
        partial = self._checkpoint.with_suffix(".partial")
        torch.save({"training": self._training.state_dict(), "reports": self._reports}, partial)
        os.replace(partial, self._checkpoint)
        self._saved_at = time.monotonic()
        self._saved_epochs = len(self._reports)

    def _begin(self) -> Training:
        training = self._evaluate(self._job.backbone, self._job.design, self._job.seed)
        if self._checkpoint.exists():
            saved = torch.load(self._checkpoint, weights_only=True)
            training.load_state_dict(saved["training"])
            self._reports = saved["reports"]
            self._saved_epochs = len(self._reports)
        return training


def _failure(error: Exception) -> Failure:
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    details = "".join(traceback.format_exception(error))
    if isinstance(error, FloatingPointError):
        return Failure(kind="nan", reason=reason)
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return Failure(kind="out of memory", reason=reason)
    return Failure(kind="error", reason=reason, details=details)
