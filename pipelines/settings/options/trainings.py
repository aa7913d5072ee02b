"""The options of the commands that train designs of a list; the docstring is the command's help."""

from dataclasses import dataclass, field
from typing import Annotated

from typer import Argument, Option

from pipelines.settings.objectives import parse_objectives
from pipelines.settings.options.shared import (
    RunOptions,
    Study,
    check_at_least_one,
    check_designs,
    check_device,
    check_recipe,
)
from pipelines.settings.options.task import (
    Changes,
    Device,
    Download,
    RecipeName,
    TaskOptions,
)
from space.errors import UserError

LEARNT_FROM = ("train", "train+val")
"""Images that a retraining may learn from."""


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


@dataclass(frozen=True, kw_only=True)
class RetrainOptions:
    """Train the best designs in full, several seeds each; read the test images once.

    The plain backbone is always trained too. The same command goes on where it stopped.
    """

    study: Study = None
    top: Annotated[
        int | None,
        Option(help="The N most accurate designs of the fronts, then of the others. Default: --top 3."),
    ] = None
    knee: Annotated[
        bool, Option(help="The design of the first cost's front farthest above the line between its two ends.")
    ] = False
    design: Annotated[tuple[str, ...], Option(help="A design by its text; may be given several times.")] = ()
    seeds: Annotated[int, Option(help="Trainings of each design; more extend a retraining.")] = 3
    on: Annotated[
        str | None,
        Option(
            help="Images to learn from: train, as the search did, or train+val. Default: train+val, but train where "
            "val has more images, since many more make another task."
        ),
    ] = None
    recipe: RecipeName = None
    epochs: Annotated[int | None, Option(help="Epochs, instead of the recipe's.")] = None
    register: Annotated[
        str | None, Option(help="Register the first design's model (seed 0) in MLflow under this name.")
    ] = None
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        if (self.top is not None) + self.knee + bool(self.design) > 1:
            raise UserError("--top, --knee and --design exclude each other; use one of them")
        if self.on not in (None, *LEARNT_FROM):
            raise UserError(f"--on {self.on}: there are {', '.join(LEARNT_FROM)}")
        check_at_least_one(top=self.top, seeds=self.seeds, epochs=self.epochs)
        check_designs(self.design)
        check_recipe(self.recipe)


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
