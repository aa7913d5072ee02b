"""The options of `search tabulate`; the docstring of the class is its help."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from typer import Option

from pipelines.settings.options.shared import RunOptions
from pipelines.settings.options.task import TaskOptions
from space.errors import UserError


@dataclass(frozen=True, kw_only=True)
class TabulateOptions:
    """Train every design of a space under several seeds; write the curves into a file for `search launch --table`.

    The same command goes on where it stopped. More designs and seeds extend a file: what it has is not trained again.
    """

    space: Annotated[str | None, Option(help="small (default), papers, full or a TOML file.")] = None
    seeds: Annotated[int, Option(help="Trainings of each design: a search sees half of them, the others judge it.")] = (
        12
    )
    table: Annotated[
        Path | None, Option(help="File to write or extend, such as table.npz; beside the study if left out.")
    ] = None
    task: TaskOptions = field(default_factory=TaskOptions)
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        if self.seeds < 2:
            raise UserError(
                f"--seeds {self.seeds}: a search sees half of the seeds, and the others judge it; 12 are good"
            )
