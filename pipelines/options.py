"""What the user may say to every command that trains."""

from dataclasses import dataclass, field
from pathlib import Path

from pipelines.engines import Resources


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where trainings read, run and write; None where the user typed nothing.

    Attributes:
        data_root: folder of the torchvision data sets.
        resources: where trials run.
        storage: folder of the studies, or a database URL.
        tracking_uri: of MLflow.
        time_limit: as typed, such as 2h.
        json: print the result for programs.
    """

    data_root: Path | None = None
    resources: Resources = field(default_factory=Resources)
    storage: str = "runs"
    tracking_uri: str | None = None
    time_limit: str | None = None
    json: bool = False
