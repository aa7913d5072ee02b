"""The options of a search, and of the table of curves that one can stand on; the docstring is the command's help."""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from typer import Option

from pipelines.settings.fields import fields_of, flag, values_of
from pipelines.settings.limits import limits_typed
from pipelines.settings.objectives import parse_objectives
from pipelines.settings.options.commands import Limits, MaxParams, MinFps
from pipelines.settings.options.shared import Resources, RunOptions
from pipelines.settings.options.task import TaskOptions
from pipelines.settings.rungs import rungs_typed
from space.errors import UserError


@dataclass(frozen=True, kw_only=True)
class LaunchOptions:
    """Search a space of designs and keep the Pareto fronts.

    The same command goes on where it stopped. Exit codes: 0 complete, 1 failed, 2 user error, 3 stopped and resumable.
    """

    budget: Annotated[int, Option(help="Designs to train in all; a larger one extends a study.")] = 200
    space: Annotated[str | None, Option(help="small (default), papers, full or a TOML file.")] = None
    confirm: Annotated[
        float,
        Option(help="Share of all epochs that trains designs again that may be on a front, so that luck is not one."),
    ] = 0.3
    sampler: Annotated[str, Option(help="tpe, nsga2, random, front, or an Optuna sampler: package.module:Class.")] = (
        "tpe"
    )
    halving: Annotated[
        bool,
        Option(help="Stop designs that promise little at the rungs; only those trained to the end are on a front."),
    ] = False
    rungs: Annotated[str, Option(help="When --halving judges: shares of a training's epochs, by commas.")] = "0.2,0.5"
    reduction_factor: Annotated[
        float, Option(help="Of the designs at a rung, --halving lets one in so many go on: the best ones.")
    ] = 3.0
    seed: Annotated[int | None, Option(help="Of the search and all its trainings; 0 if left out.")] = None
    study: Annotated[str | None, Option(help="Name; derived from the settings if left out.")] = None
    limit: Limits = ()
    max_params: MaxParams = None
    min_fps: MinFps = None
    dry_run: Annotated[bool, Option(help="Say what would run; start no study.")] = False
    table: Annotated[
        Path | None,
        Option(
            help="File of `search tabulate`: its curves are searched in seconds, with simulated --workers (1 if left "
            "out), and without MLflow but for --tracking-uri."
        ),
    ] = None
    save_config: Annotated[
        Path | None, Option(help="TOML file to write all options into, as they are meant, for --config.")
    ] = None
    task: TaskOptions = field(default_factory=TaskOptions)
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        if self.budget < 1:
            raise UserError(f"--budget {self.budget}: at least one trial is needed")
        if not 0 <= self.confirm < 1:
            raise UserError(f"--confirm {self.confirm:g}: a share of the epochs is wanted, such as 0.3; 0 for none")
        rungs_typed(self.rungs)
        if not self.reduction_factor > 1 or math.isinf(self.reduction_factor):
            raise UserError(f"--reduction-factor {self.reduction_factor:g}: a number above 1 is wanted, such as 3")
        if self.study is not None and not re.fullmatch(r"\w[\w.-]*", self.study):
            raise UserError(f"--study {self.study!r}: letters, digits, dots, dashes and underscores make a name")
        parse_objectives(self.task.objectives, self.task.metric)
        limits_typed(self.limit, self.max_params, self.min_fps)
        if self.table is not None:
            self._check_left_to_the_table()

    def _check_left_to_the_table(self) -> None:
        settled = {"space", "save_config", *fields_of(TaskOptions), *fields_of(Resources)} - {
            "workers",
            "objectives",
            "metric",
        }
        said, defaults = values_of(self), fields_of(LaunchOptions)
        if flags := [flag(name) for name in defaults if name in settled and said[name] != defaults[name].default]:
            raise UserError(
                f"{', '.join(flags)}: a table has its data, training and space, and its workers are simulated; leave "
                "that out"
            )


@dataclass(frozen=True, kw_only=True)
class TabulateOptions:
    """Train every design of a space under several seeds; write the curves into a file for `search launch --table`.

    The same command goes on where it stopped; other spaces and more seeds extend what is trained.
    """

    space: Annotated[str | None, Option(help="small (default), papers, full or a TOML file.")] = None
    seeds: Annotated[int, Option(help="Trainings of each design: a search sees half of them, the others judge it.")] = (
        12
    )
    table: Annotated[Path | None, Option(help="File to write, such as table.npz; beside the study if left out.")] = None
    task: TaskOptions = field(default_factory=TaskOptions)
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        if self.seeds < 2:
            raise UserError(
                f"--seeds {self.seeds}: a search sees half of the seeds, and the others judge it; 12 are good"
            )
