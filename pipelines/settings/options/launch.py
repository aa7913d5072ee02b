"""The options of `search launch`; the docstring of the class is its help."""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from typer import Option

from pipelines.settings.fields import fields_of, flag, values_of
from pipelines.settings.limits import limits_typed
from pipelines.settings.objectives import parse_objectives
from pipelines.settings.options.shared import (
    Limits,
    MaxParams,
    MinFps,
    Resources,
    RunOptions,
    check_at_least_one,
    check_designs,
)
from pipelines.settings.options.task import TaskOptions
from pipelines.settings.rungs import rungs_typed
from space.errors import UserError

BUDGET = 200
"""Designs to train where nothing is said that bounds the work."""


@dataclass(frozen=True, kw_only=True)
class LaunchOptions:
    """Search a space of designs and keep the Pareto fronts.

    The same command goes on where it stopped. Exit codes: 0 complete, 1 failed, 2 user error, 3 stopped and resumable.
    """

    budget: Annotated[
        int | None,
        Option(
            help="Designs to train in all; a larger one extends a study. Default: 200, or as many as --max-epochs or "
            "--gpu-hours allow."
        ),
    ] = None
    max_epochs: Annotated[
        int | None,
        Option(
            help="Epochs to train in all, those of replicates and of stopped and failed trainings too. What is left of "
            "them when every design has been tried confirms designs, whatever --confirm says but 0."
        ),
    ] = None
    gpu_hours: Annotated[
        float | None,
        Option(
            help="Hours to train in all, of all GPUs together: the seconds of all epochs, times the GPUs of a trial; "
            "without a GPU, times its cores."
        ),
    ] = None
    patience: Annotated[
        int | None,
        Option(
            help="End when the last N designs added nothing beyond noise to the gain hypervolume: what they are "
            "expected to add is less than its standard deviation."
        ),
    ] = None
    space: Annotated[str | None, Option(help="small (default), papers, full or a TOML file.")] = None
    confirm: Annotated[
        float,
        Option(help="Share of all epochs that trains designs again that may be on a front, so that luck is not one."),
    ] = 0.3
    sampler: Annotated[str, Option(help="front, tpe, nsga2, random, or an Optuna sampler: package.module:Class.")] = (
        "front"
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
    enqueue: Annotated[
        tuple[str, ...],
        Option(
            help="A design to train first, after the plain network, in the space or not; may be given several times."
        ),
    ] = ()
    enqueue_papers: Annotated[bool, Option(help="Train the papers' designs first, those that are in the space.")] = (
        False
    )
    from_: Annotated[
        str | None,
        Option(
            help="Another study. Where data, recipe, networks, weights and seed are the same its complete trainings "
            "count as this search's own; else its best designs are trained first, and nothing else of it counts."
        ),
    ] = None
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
        check_at_least_one(budget=self.budget, max_epochs=self.max_epochs, patience=self.patience)
        if self.gpu_hours is not None and not 0 < self.gpu_hours < math.inf:
            raise UserError(f"--gpu-hours {self.gpu_hours:g}: a number above 0 is wanted")
        if not 0 <= self.confirm < 1:
            raise UserError(f"--confirm {self.confirm:g}: a share of the epochs is wanted, such as 0.3; 0 for none")
        rungs_typed(self.rungs)
        if not self.reduction_factor > 1 or math.isinf(self.reduction_factor):
            raise UserError(f"--reduction-factor {self.reduction_factor:g}: a number above 1 is wanted, such as 3")
        if self.study is not None and not re.fullmatch(r"\w[\w.-]*", self.study):
            raise UserError(f"--study {self.study!r}: letters, digits, dots, dashes and underscores make a name")
        check_designs(self.enqueue)
        parse_objectives(self.task.objectives, self.task.metric)
        limits_typed(self.limit, self.max_params, self.min_fps)
        if self.table is not None:
            self._check_left_to_the_table()

    @property
    def designs(self) -> int | None:
        """To train in all; None for as many as other bounds allow."""
        if self.budget is None and self.max_epochs is None and self.gpu_hours is None:
            return BUDGET
        return self.budget

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
