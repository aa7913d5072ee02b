"""States of trials that are on their way, each with the name of its owner inside."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from search.trials import Job
from space.files import written_whole


@dataclass(frozen=True)
class Checkpoints:
    """Where a study keeps the states of its trials.

    Attributes:
        folder: made when it is needed; another study may keep its own there, too.
        study: uid of the study.
    """

    folder: Path
    study: str

    def of(self, number: int, job: Job) -> "Checkpoint":
        """That of the trial of this number, which trains this job."""
        return Checkpoint(self.folder / f"{number}-{self.study[:8]}.pt", {"study": self.study, "job": job.to_json()})

    def files(self) -> list[Path]:
        """What there is of this study's, also of what was never written whole."""
        return sorted(self.folder.glob(f"*-{self.study[:8]}.pt*"))

    def number(self, path: Path) -> int | None:
        """Of the trial that one of these files is of; None where it was never written whole."""
        number = path.name.removesuffix(f"-{self.study[:8]}.pt")
        return int(number) if number.isdigit() else None


@dataclass(frozen=True)
class Checkpoint:
    """The state of one trial.

    Attributes:
        path: of the file.
        owner: the study and the job, plain values; nobody else's state is ever loaded.
    """

    path: Path
    owner: Mapping[str, Any]

    def load(self) -> dict[str, Any] | None:
        """What was saved last; None if nothing was.

        Raises:
            ValueError: it is another's.
            Exception: of many kinds, where the file is torn.
        """
        if not self.path.exists():
            return None
        saved = torch.load(self.path, map_location="cpu", weights_only=True)
        if saved.get("owner") != self.owner:
            raise ValueError("it belongs to another search")
        state: dict[str, Any] = saved["state"]
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the state, whole or not at all.

        Args:
            state: tensors and plain values.

        Raises:
            Exception: OSError or RuntimeError, where it cannot be written; what was saved last is still there.
        """
        with written_whole(self.path) as partial:
            torch.save({"owner": self.owner, "state": state}, partial)

    def remove(self) -> None:
        """Remove what was saved, and what a process that was killed left of it."""
        with contextlib.suppress(OSError):  # one that stays is of no trial that is still to be trained
            for path in self.path.parent.glob(f"{self.path.name}*"):
                path.unlink(missing_ok=True)
