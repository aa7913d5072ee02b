"""The options that commands share: of all, of those that read studies, and of those that train."""

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from pipelines.settings.fields import flag
from pipelines.terminal.formats import parse_count, parse_duration
from space.design import Design
from space.errors import UserError, first_line
from space.files import absolute
from space.user_code import UserCode, load_plugins
from trainers.deployment import check_dtype, check_form
from trainers.recipe import recipe

DEVICES = ("auto", "cpu", "cuda")
ENGINES = ("auto", "local", "ray")


Study = Annotated[str | None, Argument(help="Name of the study; the last one written if left out.")]
MaxParams = Annotated[str | None, Option(help="Most parameters, such as 300k or 1.5M.")]
Limits = Annotated[
    tuple[str, ...],
    Option(help="Costs that a design may have, such as 'fps>=5k' or 'params<=1.5M'; may be given several times."),
]
MinFps = Annotated[str | None, Option(help="Fewest images a second, such as 5000 or 5k.")]
TrackingUri = Annotated[str | None, Option(help="MLflow server; MLFLOW_TRACKING_URI or ./mlflow.db if left out.")]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every command takes.

    Attributes:
        plugins: loaded, so that options beside them may name what they register.
    """

    plugin: Annotated[
        tuple[Path, ...],
        Option(
            help="Python file that registers attentions, backbones, costs, data sets or samplers; may be given several "
            "times."
        ),
    ] = ()
    json: Annotated[bool, Option(help="Result as JSON on stdout; all else on stderr.")] = False
    plugins: tuple[UserCode, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "plugins", load_plugins(self.plugin))


@dataclass(frozen=True, kw_only=True)
class Stored(Options):
    """What commands take that look at studies."""

    storage: Annotated[str, Option(help="Folder of the studies, or a database URL.")] = "runs"


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Where trials run."""

    engine: Annotated[str, Option(help="local (this process), ray, or auto: ray where it saves time.")] = "auto"
    address: Annotated[str | None, Option(help="Ray cluster to run on: auto or HOST:6379.")] = None
    node_type: Annotated[
        str | None,
        Option(
            help="Nodes of the cluster that trials run on, and speed is measured on: a GPU's name such as A100, or a "
            "resource that nodes were started with."
        ),
    ] = None
    workers: Annotated[int | None, Option(help="Trials at once; as many as fit if left out.")] = None
    cpus_per_trial: Annotated[int, Option(help="Cores, and threads, of a trial.")] = 1
    gpus_per_trial: Annotated[
        float | None,
        Option(help="GPUs of a trial: 1, several that share its batches, or a fraction, which bounds its memory."),
    ] = None
    trial_timeout: Annotated[
        str | None,
        Option(help="A training that takes longer, such as 30m, has failed; a search does not try it again."),
    ] = None

    def __post_init__(self) -> None:
        _ = self.trial_seconds  # a wrong one is told now
        if self.engine not in ENGINES:
            raise UserError(f"no engine {self.engine!r}; there are {', '.join(ENGINES)}")
        check_at_least_one(workers=self.workers, cpus_per_trial=self.cpus_per_trial)
        gpus = self.gpus_per_trial or 0.0
        if not 0 <= gpus < math.inf or (gpus > 1 and gpus != int(gpus)):
            raise UserError(f"--gpus-per-trial {gpus:g}: a trial trains on whole GPUs, or on a fraction of one")
        if self.engine == "local" and (self.address is not None or (self.workers or 1) > 1):
            raise UserError("--engine local is one worker in this process; leave out --workers and --address")

    @property
    def trial_seconds(self) -> float | None:
        """After which a training has failed; None for any time."""
        return None if self.trial_timeout is None else parse_duration(self.trial_timeout, "--trial-timeout")

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
class RunOptions(Stored):
    """Where trainings read and write."""

    data_root: Annotated[
        Path | None, Option(help="Folder of the torchvision data sets; ./data, or the study's, if left out.")
    ] = None
    tracking_uri: TrackingUri = None
    time_limit: Annotated[str | None, Option(help="Stop, resumably, after a time such as 90s, 30m or 2h.")] = None
    grace: Annotated[
        str, Option(help="End so long after SIGTERM at the latest; an epoch that takes longer is trained again.")
    ] = "25s"
    checkpoints: Annotated[
        str | None,
        Option(
            help="Where trials on their way are saved, for all workers to see: a folder, or a URL that fsspec knows, "
            "such as s3://bucket/runs; where the study had them, or beside it, if left out."
        ),
    ] = None
    checkpoint_every: Annotated[
        str, Option(help="Save a trial after so much training again; a shorter one is not saved.")
    ] = "30s"
    keep_checkpoints: Annotated[bool, Option(help="Keep what trials saved last when they have ended.")] = False
    cache: Annotated[
        Path | None,
        Option(help="Folder of decoded images and fetched weights; ~/.cache/attention-search if left out."),
    ] = None
    cache_limit: Annotated[
        str, Option(help="Bytes of decoded images to keep, such as 8G; 0 decodes them each time.")
    ] = "8G"
    resources: Resources = field(default_factory=Resources)

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = (
            self.seconds,
            self.grace_seconds,
            self.checkpoint_place,
            self.checkpoint_seconds,
            self.cache_bytes,
        )  # wrong ones are told now

    @property
    def seconds(self) -> float | None:
        """After which to stop; None for no limit."""
        return None if self.time_limit is None else parse_duration(self.time_limit, "--time-limit")

    @property
    def grace_seconds(self) -> float:
        """From SIGTERM until an epoch is broken off; batch systems kill 30 s after it."""
        return parse_duration(self.grace, "--grace")

    @property
    def checkpoint_place(self) -> str | None:
        """The same folder or URL wherever workers run; None if nothing was said."""
        if self.checkpoints is None or "://" not in self.checkpoints:
            return None if self.checkpoints is None else str(absolute(self.checkpoints))
        from upath import UPath  # takes a moment

        try:
            _ = UPath(self.checkpoints).fs
        except (ValueError, ImportError) as error:  # no such file system, or its package is missing
            raise UserError(f"--checkpoints {self.checkpoints}: {first_line(error)}") from None
        return self.checkpoints

    @property
    def checkpoint_seconds(self) -> float:
        """Of training between two checkpoints of a trial."""
        return parse_duration(self.checkpoint_every, "--checkpoint-every")

    @property
    def cache_folder(self) -> Path:
        """The cache, by default where the XDG specification has caches."""
        default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "attention-search"
        return absolute(self.cache or default)

    @property
    def cache_bytes(self) -> int:
        """That decoded images may take in the cache; 0 for none."""
        return 0 if self.cache_limit == "0" else parse_count(self.cache_limit, "--cache-limit")


def check_deployment(device: str, form: str | None, dtype: str | None) -> None:
    """Make sure that a user may mean these; None for nothing said.

    Raises:
        UserError: one is no name of a device, a form or a type.
    """
    check_device(device)
    check_form(form)
    check_dtype(dtype)


def check_device(name: str) -> None:
    """Make sure that a user may mean this.

    Raises:
        UserError: it is no name of a device.
    """
    if name not in DEVICES:
        raise UserError(f"no device {name!r}; there are {', '.join(DEVICES)}")


def check_at_least_one(**numbers: int | None) -> None:
    """Make sure that these options, by their fields, are 1 or more where they are given.

    Raises:
        UserError: one is less.
    """
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise UserError(f"{flag(name)} {number}: at least one is needed")


def check_recipe(name: str | None) -> None:
    """Make sure that there is a recipe of this name, if one is given.

    Raises:
        UserError: there is none.
    """
    if name is not None:
        recipe(name)


def check_designs(texts: Iterable[str]) -> None:
    """Make sure that these are designs.

    Raises:
        UserError: one is none.
    """
    for text in texts:
        Design.parse(text)
