"""What the user may say to each command; None where nothing was typed.

What is wrong on its face is refused here, where nothing heavy is imported: a mistake is told at once.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.settings.goals import limits_typed, parse_objectives
from space.design import Design
from space.errors import UserError
from space.user_code import UserCode
from trainers.metrics import METRICS
from trainers.recipe import recipe as find_recipe

CACHE_BYTES = 8 * 1000**3
DEVICES = ("auto", "cpu", "cuda")
ENGINES = ("auto", "local", "ray")
NORMALISATIONS = ("measured", "weights", "imagenet")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What the user said about where trials run.

    Attributes:
        engine: auto, local or ray.
        address: of a Ray cluster.
        workers: trials at once; None for as many as fit.
        cpus_per_trial: cores of a trial.
        gpus_per_trial: GPUs of a trial, at most 1; None for 1 on cuda and 0 on cpu.
    """

    engine: str = "auto"
    address: str | None = None
    workers: int | None = None
    cpus_per_trial: int = 1
    gpus_per_trial: float | None = None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise UserError(f"no engine {self.engine!r}; there are {', '.join(ENGINES)}")
        _at_least_one("--workers", self.workers)
        _at_least_one("--cpus-per-trial", self.cpus_per_trial)
        if self.gpus_per_trial is not None and not 0 <= self.gpus_per_trial <= 1:
            raise UserError(f"--gpus-per-trial {self.gpus_per_trial:g}: a trial trains on 1 GPU or a fraction of it")
        if self.engine == "local" and (self.address is not None or (self.workers or 1) > 1):
            raise UserError("--engine local is one worker in this process; leave out --workers and --address")

    def gpus(self, device: str) -> float:
        """GPUs of a trial on this device."""
        if self.gpus_per_trial is None:
            return 1.0 if device == "cuda" else 0.0
        if self.gpus_per_trial > 0 and device == "cpu":
            raise UserError(f"--gpus-per-trial {self.gpus_per_trial:g} needs --device cuda")
        if self.gpus_per_trial == 0 and device == "cuda":
            raise UserError("--gpus-per-trial 0 needs --device cpu")
        return self.gpus_per_trial


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where trainings read, run and write: every command that trains takes these.

    Attributes:
        data_root: folder of the torchvision data sets.
        resources: where trials run.
        storage: folder of the studies, or a database URL.
        tracking_uri: of MLflow.
        seconds: after which to stop; None for no limit.
        plugins: loaded.
        cache: folder of decoded images and of weights that were fetched.
        cache_bytes: that decoded images may take there; 0 for none.
        json: print the result for programs.
    """

    data_root: Path | None = None
    resources: Resources = field(default_factory=Resources)
    storage: str = "runs"
    tracking_uri: str | None = None
    seconds: float | None = None
    plugins: tuple[UserCode, ...] = ()
    cache: Path | None = None
    cache_bytes: int = CACHE_BYTES
    json: bool = False

    @property
    def cache_folder(self) -> Path:
        """The cache, by default where the XDG specification has caches."""
        default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "attention-search"
        return (self.cache or default).expanduser().absolute()


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """What is trained on which images, and how: `launch` and `compare` take these.

    Attributes:
        dataset: name.
        download: fetch the data set if it is missing.
        train_size: images to train on.
        image_size: pixels a side.
        groups: CSV file that says which images stay together.
        normalise: measured, weights or imagenet.
        backbone: name, or several by commas.
        gate_at: pattern of the modules whose outputs are gated.
        replace_attention: take out what attention the networks carry themselves.
        weights: file of pretrained weights, or torchvision's or timm's name for some.
        recipe: name.
        epochs: instead of the recipe's, like the next two.
        batch_size: images a step.
        learning_rate: of gates and classifier.
        augmentation: whether images are cropped and mirrored at all.
        resized_crop: train on random parts of the images, or not; None for the recipe's way.
        flip: mirror half of the images, or not; None for the recipe's way.
        class_weights: weigh each class by the inverse of its share.
        metric: accuracy, balanced_accuracy or macro_f1.
        device: auto, cpu or cuda.
    """

    dataset: str | None = None
    download: bool = False
    train_size: int | None = None
    image_size: int | None = None
    groups: Path | None = None
    normalise: str | None = None
    backbone: str | None = None
    gate_at: str | None = None
    replace_attention: bool = False
    weights: str | None = None
    recipe: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    augmentation: bool = True
    resized_crop: bool | None = None
    flip: bool | None = None
    class_weights: bool = False
    metric: str | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        check_device(self.device)
        if self.metric not in (None, *METRICS):
            raise UserError(f"--metric {self.metric}: there are {', '.join(METRICS)}")
        if self.normalise not in (None, *NORMALISATIONS):
            raise UserError(f"--normalise {self.normalise}: there are {', '.join(NORMALISATIONS)}")
        if self.recipe is not None:
            find_recipe(self.recipe)
        _at_least_one("--epochs", self.epochs)
        _at_least_one("--train-size", self.train_size)
        _at_least_one("--image-size", self.image_size)
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise UserError(f"--learning-rate {self.learning_rate:g}: a number above 0 is wanted")


@dataclass(frozen=True, kw_only=True)
class LaunchOptions:
    """What the user typed behind `search launch`.

    Attributes:
        run: where.
        task: what is trained on what.
        budget: designs to train.
        space: preset or file.
        sampler: name or class.
        seed: of the search and its trainings.
        study: name.
        objectives: metric and costs, such as accuracy,params,fps.
        limit: such as fps>=5k.
        max_params: limit, such as 1.5M.
        min_fps: limit, such as 5k.
        dry_run: write nothing.
    """

    run: RunOptions
    task: TaskOptions
    budget: int
    space: str | None = None
    sampler: str = "tpe"
    seed: int | None = None
    study: str | None = None
    objectives: str | None = None
    limit: tuple[str, ...] = ()
    max_params: str | None = None
    min_fps: str | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        if self.budget < 1:
            raise UserError(f"--budget {self.budget}: at least one trial is needed")
        if self.study is not None and not re.fullmatch(r"\w[\w.-]*", self.study):
            raise UserError(f"--study {self.study!r}: letters, digits, dots, dashes and underscores make a name")
        parse_objectives(self.objectives, self.task.metric)
        limits_typed(self.limit, self.max_params, self.min_fps)


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """What the user typed behind `search compare`.

    Attributes:
        run: where.
        task: what is trained on what.
        designs: their texts.
        seeds: trainings of each.
    """

    run: RunOptions
    task: TaskOptions
    designs: tuple[str, ...]
    seeds: int

    def __post_init__(self) -> None:
        if self.seeds < 2:
            raise UserError(f"--seeds {self.seeds}: a difference has an interval from two seeds on; 5 are a start")
        _check_designs(self.designs)


@dataclass(frozen=True, kw_only=True)
class RetrainOptions:
    """What the user typed behind `search retrain`.

    Attributes:
        run: where.
        study: name; None for the last one.
        top: so many of the best; None for the default, unless something else is asked for.
        knee: the design of the params front farthest above the line between its ends.
        designs: texts.
        seeds: trainings of each.
        recipe: name.
        epochs: instead of the recipe's.
        register: name of a model in MLflow.
    """

    run: RunOptions
    study: str | None = None
    top: int | None = None
    knee: bool = False
    designs: tuple[str, ...] = ()
    seeds: int = 3
    recipe: str | None = None
    epochs: int | None = None
    register: str | None = None

    def __post_init__(self) -> None:
        if (self.top is not None) + self.knee + bool(self.designs) > 1:
            raise UserError("--top, --knee and --design exclude each other; use one of them")
        _at_least_one("--top", self.top)
        _at_least_one("--seeds", self.seeds)
        _at_least_one("--epochs", self.epochs)
        _check_designs(self.designs)
        if self.recipe is not None:
            find_recipe(self.recipe)


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What the user wants otherwise than the paper; None where nothing.

    Attributes:
        dataset: name.
        backbone: name; the options of the paper's stay.
        recipe: name.
        epochs: instead of the recipe's.
        train_size: images to learn from, instead of the full training set.
    """

    dataset: str | None = None
    backbone: str | None = None
    recipe: str | None = None
    epochs: int | None = None
    train_size: int | None = None

    def __post_init__(self) -> None:
        if self.recipe is not None:
            find_recipe(self.recipe)
        _at_least_one("--epochs", self.epochs)
        _at_least_one("--train-size", self.train_size)

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return self != Changes()


@dataclass(frozen=True, kw_only=True)
class ReproduceOptions:
    """What the user typed behind `search reproduce`.

    Attributes:
        run: where.
        name: of an experiment.
        every: all experiments.
        params_only: count parameters, train nothing.
        rows: words in the names of the rows that are wanted; all rows if there are none.
        seeds: trainings of each network.
        changes: what is wanted otherwise than in the paper.
        download: fetch a data set that is missing.
        device: auto, cpu or cuda.
    """

    run: RunOptions
    name: str | None = None
    every: bool = False
    params_only: bool = False
    rows: tuple[str, ...] = ()
    seeds: int = 3
    changes: Changes = field(default_factory=Changes)
    download: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.every and self.name is not None:
            raise UserError(f"--all and {self.name} exclude each other; use one of them")
        if self.every and not self.params_only:
            raise UserError("--all would train for months; add --params-only, or name one experiment")
        if self.params_only and self.changes.any:
            raise UserError("--params-only counts the papers' own networks; leave the options of training out")
        if self.name is None and not self.every and (self.params_only or self.rows or self.changes.any):
            raise UserError("the name of an experiment is missing; `search reproduce` lists them")
        _at_least_one("--seeds", self.seeds)
        check_device(self.device)


@dataclass(frozen=True, kw_only=True)
class ProfileOptions:
    """What the user typed behind `search profile`.

    Attributes:
        design: its text.
        backbone: name.
        gate_at: pattern of the modules whose outputs are gated.
        replace_attention: take out what attention the network carries itself.
        show_gates: print where they are.
        num_classes: of the classifier.
        channels: of an image.
        image_size: pixels a side.
        device: auto, cpu or cuda.
        fps: whether to measure it, which takes seconds.
        json: for programs.
    """

    design: str
    backbone: str
    gate_at: str | None
    replace_attention: bool
    show_gates: bool
    num_classes: int
    channels: int
    image_size: int | None
    device: str
    fps: bool
    json: bool

    def __post_init__(self) -> None:
        _check_designs([self.design])
        check_device(self.device)


def check_device(name: str) -> None:
    """Make sure that a user may mean this.

    Raises:
        UserError: it is no name of a device.
    """
    if name not in DEVICES:
        raise UserError(f"no device {name!r}; there are {', '.join(DEVICES)}")


def _at_least_one(flag: str, number: int | None) -> None:
    if number is not None and number < 1:
        raise UserError(f"{flag} {number}: at least one is needed")


def _check_designs(texts: Iterable[str]) -> None:
    for text in texts:
        Design.parse(text)
