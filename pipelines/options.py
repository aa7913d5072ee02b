"""What the user may say to several commands; None where nothing was typed."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.engines import Resources
from pipelines.quantities import parse_count, parse_duration

CACHE_LIMIT = "8G"


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where trainings read, run and write: every command that trains takes these.

    Attributes:
        data_root: folder of the torchvision data sets.
        resources: where trials run.
        storage: folder of the studies, or a database URL.
        tracking_uri: of MLflow.
        time_limit: as typed, such as 2h.
        plugins: Python files to load first.
        cache: folder of decoded images and of weights that were fetched.
        cache_limit: bytes that decoded images may take there, as typed, such as 8G; 0 for none.
        json: print the result for programs.
    """

    data_root: Path | None = None
    resources: Resources = field(default_factory=Resources)
    storage: str = "runs"
    tracking_uri: str | None = None
    time_limit: str | None = None
    plugins: tuple[Path, ...] = ()
    cache: Path | None = None
    cache_limit: str = CACHE_LIMIT
    json: bool = False

    @property
    def seconds(self) -> float | None:
        """The time limit."""
        return None if self.time_limit is None else parse_duration(self.time_limit, "--time-limit")

    @property
    def cache_folder(self) -> Path:
        """The cache, by default where the XDG specification has caches."""
        default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "attention-search"
        return (self.cache or default).expanduser().absolute()

    @property
    def cache_bytes(self) -> int:
        """The limit of the cache."""
        return 0 if self.cache_limit == "0" else parse_count(self.cache_limit, "--cache-limit")


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
