"""What may differ from launch to launch of one study: where it is tracked and saved, and when it stops."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upath import UPath

from pipelines.settings.options.shared import RunOptions
from search.checkpoints import PLACE, SAVE_EVERY_SECONDS, Checkpoints, place_of
from search.ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Of one run of a ledger.

    Attributes:
        tracking_uri: of MLflow; None for its default.
        time_limit: seconds; None for no limit.
        grace: seconds from SIGTERM until an epoch is broken off; None for any time.
        checkpoints: folder or URL; None for where the study had them, and that is beside it if nobody said.
        every: seconds of training between two checkpoints of a trial.
        keep: whether trials that have ended leave theirs.
    """

    tracking_uri: str | None = None
    time_limit: float | None = None
    grace: float | None = None
    checkpoints: str | None = None
    every: float = SAVE_EVERY_SECONDS
    keep: bool = False

    @classmethod
    def of(cls, run: RunOptions) -> "Terms":
        """What a user said."""
        return cls(
            tracking_uri=run.tracking_uri,
            time_limit=run.seconds,
            grace=run.grace_seconds,
            checkpoints=run.checkpoint_place,
            every=run.checkpoint_seconds,
            keep=run.keep_checkpoints,
        )

    def checkpoints_of(self, ledger: Ledger, folder: Path, uid: str) -> Checkpoints:
        """Where the trials of a ledger are saved; a place that was named is noted there.

        Args:
            ledger: of the study.
            folder: of the study.
            uid: of the study.
        """
        if self.checkpoints is not None:
            ledger.annotate(PLACE, self.checkpoints)
        return Checkpoints(self.place(ledger.annotations, folder), uid, self.every, self.keep)

    def place(self, attributes: Mapping[str, Any], folder: Path) -> UPath:
        """The same for a study with these attributes, if it is there."""
        return place_of(attributes, folder) if self.checkpoints is None else UPath(self.checkpoints)
