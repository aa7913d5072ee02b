"""The options of each command; the docstring is the command's help."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from pipelines.settings.objectives import parse_objectives
from pipelines.settings.options.shared import (
    RunOptions,
    Stored,
    TrackingUri,
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

Study = Annotated[str | None, Argument(help="Name of the study; the last one written if left out.")]
Run = Annotated[str, Argument(help="Folder of weights, retraining, study, or run in MLflow.")]
OneDesign = Annotated[str | None, Option(help="Which design of a retraining; the first asked for if left out.")]
MaxParams = Annotated[str | None, Option(help="Most parameters, such as 300k or 1.5M.")]
Limits = Annotated[
    tuple[str, ...],
    Option(help="Costs that a design may have, such as 'fps>=5k' or 'params<=1.5M'; may be given several times."),
]
MinFps = Annotated[str | None, Option(help="Fewest images a second, such as 5000 or 5k.")]


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
class StatusOptions(Stored):
    """How far a study is; without a name, how far all are."""

    study: Annotated[
        str | None,
        Argument(help="Name of a search, retraining, comparison, table or reproduction; all are listed if left out."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class FrontOptions(Stored):
    """The Pareto fronts of a study, best first, with the gain over the plain backbone."""

    study: Study = None
    csv: Annotated[bool, Option(help="The fronts as CSV on stdout.")] = False
    png: Annotated[Path | None, Option(help="File to draw the fronts into.")] = None


@dataclass(frozen=True, kw_only=True)
class SyncOptions(Stored):
    """Bring MLflow up to what a search knows: each trial once, from the study alone.

    For where MLflow was away, or lost what it had. The commands that train do so by themselves.
    """

    study: Study = None
    tracking_uri: TrackingUri = None


@dataclass(frozen=True, kw_only=True)
class ImportanceOptions(Stored):
    """What a study has learnt: the effect of every choice on the metric, with its interval."""

    study: Study = None
    png: Annotated[Path | None, Option(help="File to draw the effects into.")] = None


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
class ExportOptions(Stored):
    """Write a retrained network for use elsewhere: safetensors and design, torch.export and ONNX, checked."""

    run: Run
    into: Annotated[Path | None, Option(help="Folder to write; export/BACKBONE-DESIGN if left out.")] = None
    design: OneDesign = None
    onnx: Annotated[bool | None, Option("--onnx/--no-onnx", help="ONNX, too; where its packages are, if left out.")] = (
        None
    )
    folded: Annotated[
        bool, Option("--folded/--no-folded", help="torch.export's program folded for inference: equal, and faster.")
    ] = True
    int8: Annotated[
        bool, Option(help="An ONNX program in 8 bits, too, calibrated and judged by the validation images.")
    ] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.int8 and self.onnx is False:
            raise UserError("--int8 is made of ONNX; leave out --no-onnx")


@dataclass(frozen=True, kw_only=True)
class PredictOptions(Stored):
    """What an exported or retrained network takes images for."""

    run: Run
    images: Annotated[tuple[Path, ...], Argument(help="Image files.")]
    top: Annotated[int, Option(help="Classes to print for each image.")] = 3
    design: OneDesign = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least_one(top=self.top)


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
