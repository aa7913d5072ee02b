"""States of trials that are on their way, each with the name of its owner inside."""

import contextlib
import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from upath import UPath

from search.trials import Job
from space.files import written_whole

SAVE_EVERY_SECONDS = 30.0
PLACE = "checkpoints"
"""The attribute of a study with the folder or URL that a user named for them."""


@dataclass(frozen=True)
class Checkpoints:
    """Where a study keeps the states of its trials.

    Attributes:
        folder: made when it is needed, on this machine or in any file system that fsspec knows; another study may
            keep its own there, too.
        study: uid of the study.
        every: seconds of training after which a trial is saved again; a shorter one is not saved, it is trained anew.
        keep: whether what a trial saved last stays when it has ended.
    """

    folder: Path | UPath
    study: str
    every: float = SAVE_EVERY_SECONDS
    keep: bool = False

    def of(self, number: int, job: Job) -> "Checkpoint":
        """That of the trial of this number, which trains this job."""
        owner = {"study": self.study, "job": job.to_json()}
        return Checkpoint(UPath(self.folder) / f"{number}{self._ending}", owner, self.every, self.keep)

    def left_over(self, running: Collection[int]) -> list[UPath]:
        """What there is of trials of this study that do not run, also of what was never written whole."""
        numbers = {path: path.name.removesuffix(self._ending) for path in UPath(self.folder).glob(f"*{self._ending}*")}
        return sorted(path for path, number in numbers.items() if not number.isdigit() or int(number) not in running)

    def sweep(self, running: Collection[int]) -> None:
        """Remove that, where it is not to be kept."""
        if not self.keep:
            with contextlib.suppress(OSError):
                for path in self.left_over(running):
                    path.unlink(missing_ok=True)

    @property
    def _ending(self) -> str:
        return f"-{self.study[:8]}.pt"


def place_of(attributes: Mapping[str, Any], folder: Path) -> UPath:
    """Where a study with these attributes has its checkpoints: where a user said, or in its own folder."""
    return UPath(attributes.get(PLACE) or folder / "checkpoints")


@dataclass(frozen=True)
class Checkpoint:
    """The state of one trial.

    Attributes:
        path: of the file.
        owner: the study and the job, plain values; nobody else's state is ever loaded.
        every: seconds of training after which it is saved again.
        keep: whether what was saved last stays.
    """

    path: UPath
    owner: Mapping[str, Any]
    every: float = SAVE_EVERY_SECONDS
    keep: bool = False

    def load(self) -> dict[str, Any] | None:
        """What was saved last; None if nothing was.

        Raises:
            ValueError: it is another's.
            Exception: of many kinds, where the file is torn or cannot be reached.
        """
        try:
            packed = self.path.read_bytes()
        except FileNotFoundError:
            return None
        saved = torch.load(io.BytesIO(packed), map_location="cpu", weights_only=True)
        if saved.get("owner") != self.owner:
            raise ValueError("it belongs to another search")
        state: dict[str, Any] = saved["state"]
        return state

    def packed(self, state: Mapping[str, Any]) -> bytes:
        """A state, of tensors and plain values, as it is now, for `write`."""
        content = io.BytesIO()
        torch.save({"owner": self.owner, "state": state}, content)
        return content.getvalue()

    def write(self, packed: bytes) -> None:
        """Write a state, whole or not at all.

        Raises:
            Exception: of many kinds, where it cannot be written; what was written last is still there.
        """
        if isinstance(self.path, Path):
            with written_whole(self.path) as partial:
                partial.write_bytes(packed)
        else:  # a store of objects shows one when it has all of it
            self.path.fs.pipe_file(self.path.path, packed)

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a state, whole or not at all.

        Raises:
            Exception: see `write`.
        """
        self.write(self.packed(state))

    def remove(self) -> None:
        """Remove what was saved, and what a process that was killed left of it, where it is not to be kept."""
        if self.keep:
            return
        with contextlib.suppress(OSError):  # one that stays is of no trial that is still to be trained
            for path in self.path.parent.glob(f"{self.path.name}*"):
                path.unlink(missing_ok=True)
