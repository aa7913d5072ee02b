"""The options of `search reproduce`; the docstring of the class is its help."""

from dataclasses import dataclass, field
from typing import Annotated

from typer import Argument, Option

from pipelines.settings.options.shared import (
    RunOptions,
    check_at_least_one,
    check_device,
)
from pipelines.settings.options.task import (
    Changes,
    Device,
    Download,
)
from space.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ReproduceOptions:
    """The tables and figures of the RAS and the DIANet paper: ours beside the printed values.

    The same command goes on where it stopped.
    """

    name: Annotated[str | None, Argument(help="Of an experiment; left out, they are listed.")] = None
    all: Annotated[bool, Option(help="Every experiment; with --params-only.")] = False
    params_only: Annotated[bool, Option(help="Count parameters; train nothing.")] = False
    rows: Annotated[
        tuple[str, ...], Option(help="Only rows with these words in their name; may be given several times.")
    ] = ()
    seeds: Annotated[int, Option(help="Trainings of each network; more extend a reproduction.")] = 3
    download: Download = False
    device: Device = "auto"
    changes: Changes = field(default_factory=Changes)
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        if self.all and self.name is not None:
            raise UserError(f"--all and {self.name} exclude each other; use one of them")
        if self.all and not self.params_only:
            raise UserError("--all would train for months; add --params-only, or name one experiment")
        if self.params_only and self.changes.any:
            raise UserError("--params-only counts the papers' own networks; leave the options of training out")
        if self.name is None and not self.all and (self.params_only or self.rows or self.changes.any):
            raise UserError("the name of an experiment is missing; `search reproduce` lists them")
        check_at_least_one(seeds=self.seeds)
        check_device(self.device)
