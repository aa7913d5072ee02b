"""The options of `search compare`; the docstring of the class is its help."""

from dataclasses import dataclass, field
from typing import Annotated

from typer import Argument, Option

from pipelines.settings.objectives import parse_objectives
from pipelines.settings.options.shared import (
    RunOptions,
    check_designs,
)
from pipelines.settings.options.task import (
    TaskOptions,
)
from space.errors import UserError


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """Train designs and the plain network under the same seeds; say which gain, and how sure that is.

    The same command goes on where it stopped; other designs and more seeds extend it.
    """

    designs: Annotated[tuple[str, ...], Argument(help="Such as se ras eca:stages=34; the plain network is added.")]
    seeds: Annotated[int, Option(help="Trainings of each design; more extend a comparison.")] = 5
    task: TaskOptions = field(default_factory=TaskOptions)
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        if self.seeds < 2:
            raise UserError(f"--seeds {self.seeds}: a difference has an interval from two seeds on; 5 are a start")
        parse_objectives(self.task.objectives, self.task.metric)
        check_designs(self.designs)
