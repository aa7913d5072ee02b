"""What makes the results of a study comparable: frozen when it is made, and what its name derives from."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipelines.quantities import file_name
from space import Design, Layout, SearchSpace, UserError
from space.backbones import Name, backbone
from space.build import build
from space.choices import Candidate
from space.meta import zeroed
from space.plugins import Plugin
from space.pretrained import IMAGENET
from space.weights import read_weights
from trainers.cost import Task
from trainers.data import Data
from trainers.datasets import Source
from trainers.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The frozen settings of a study.

    Attributes:
        dataset: name, as typed.
        train_size: as typed; None for the data set's own.
        image_size: of `Source`, likewise the next four.
        shorter_side: see there.
        groups: see there.
        mean: see there.
        std: see there.
        data: digest of all images, labels and splits; empty for a study that was made before there was one.
        images: images in each split.
        num_classes: classes.
        shape: channels, height and width of an image.
        backbones: names, the plain one to compare with first.
        weights: file of the pretrained weights; None for none.
        files: digests of the files beside the images that results depend on: weights, groups, a user's network.
        plugins: digests of the plug-ins, by the names of their files.
        space: options of each field of each attention.
        recipe: how each design is trained.
        seed: of the search; the seed of each training derives from it.
        device: cpu or cuda.
        device_name: the processor that FPS is measured on.
        objectives: what the fronts are made of, the metric first.
        space_name: what the user called the space; for reading only.
        recipe_name: what the user called the recipe; for reading only.
    """

    dataset: str
    train_size: int | None
    image_size: int | None = None
    shorter_side: int | None = None
    groups: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    data: str = ""
    images: dict[str, int]
    num_classes: int
    shape: tuple[int, int, int]
    backbones: tuple[str, ...]
    weights: str | None = None
    files: dict[str, str] = field(default_factory=dict)
    plugins: dict[str, str] = field(default_factory=dict)
    space: dict[str, Any]
    recipe: Recipe
    seed: int
    device: str
    device_name: str
    objectives: tuple[str, str, str]
    space_name: str
    recipe_name: str

    @property
    def task(self) -> Task:
        """What its networks are for."""
        return Task(self.num_classes, self.shape)

    @property
    def metric(self) -> str:
        """What is to be maximised: accuracy, balanced_accuracy or macro_f1."""
        return self.objectives[0].removeprefix("val_")

    @property
    def normalisation(self) -> str:
        """What a user types for it."""
        if self.mean is None and self.std is None:
            return "measured"
        return "imagenet" if (self.mean, self.std) == IMAGENET else "weights"

    @property
    def weights_file(self) -> Path | None:
        """Of the pretrained weights."""
        return None if self.weights is None else Path(self.weights)

    def source(self, root: Path, cache: Path, cache_bytes: int) -> Source:
        """Its images, with the folders of the torchvision data sets and of decoded images."""
        return Source(
            name=self.dataset,
            root=root,
            train_size=self.train_size,
            image_size=self.image_size,
            shorter_side=self.shorter_side,
            groups=None if self.groups is None else Path(self.groups),
            mean=self.mean,
            std=self.std,
            cache=cache,
            cache_bytes=cache_bytes,
            digest=self.data,
        )

    def candidate(self, text: str) -> Candidate:
        """A design that a user typed, in the first backbone; with weights its gates start at 1."""
        design = Design.parse(text)
        design = design if self.weights is None else design.starting_at_one()
        return self.backbones[0], design.canonical(backbone(self.backbones[0]).layout)

    @property
    def layouts(self) -> dict[str, Layout]:
        """The layout of each backbone."""
        return {name: backbone(name).layout for name in self.backbones}

    @cached_property
    def search_space(self) -> SearchSpace:
        """The space that the study searches."""
        values = {a: {name: tuple(options) for name, options in table.items()} for a, table in self.space.items()}
        return SearchSpace(self.layouts, values)

    def plain_network(self) -> nn.Module:
        """The backbone that every design is compared with."""
        return build(Design(), backbone(self.backbones[0]), self.num_classes, self.shape[0])

    def describe_data(self) -> str:
        """Sizes of the splits, in one line."""
        sizes = " / ".join(f"{size:,} {split}" for split, size in self.images.items())
        return f"{self.dataset} · {sizes} · {self.num_classes} classes"

    def study_name(self) -> str:
        """A readable name with a digest of everything that matters to the results."""
        table = {name: value for name, value in self.to_json().items() if name not in ("space_name", "recipe_name")}
        digest = hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:6]
        dataset = file_name(self.dataset.rstrip("/").rpartition("/")[2])
        backbones = file_name("-".join(Name.parse(name).network.rpartition("/")[2] for name in self.backbones))
        return f"{dataset}-{backbones}-{digest}"

    def to_json(self) -> dict[str, Any]:
        """For the study; `from_json` is the way back."""
        table = {**asdict(self), "recipe": self.recipe.to_dict()}
        normalised: dict[str, Any] = json.loads(json.dumps(table))
        return normalised

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> "Settings":
        """The settings that `to_json` described."""
        return cls(
            **{
                **table,
                "recipe": Recipe.from_dict(table["recipe"]),
                "shape": tuple(table["shape"]),
                **{name: tuple(table[name]) for name in ("mean", "std") if table.get(name)},
                "backbones": tuple(table["backbones"]),
                "objectives": tuple(table["objectives"]),
            }
        )


def check_fit(data: Data, recipe: Recipe, backbones: tuple[str, ...], weights: Path | None = None) -> None:
    """Make sure that this data can be trained on by this recipe with these backbones, from these weights.

    Raises:
        UserError: too few images, images that a network does not take, or weights that do not fit.
    """
    size = len(data.train.labels)
    if size < 2:
        raise UserError(f"{data.name} has {size} image to train on; batch normalisation needs 2, take more")
    if recipe.batch_size > size:
        raise UserError(
            f"a batch of {recipe.batch_size} is larger than the {size} training images of {data.name}; "
            "--batch-size makes it smaller"
        )
    check_images(data.shape, backbones)
    if weights is not None:
        build(Design(), backbone(backbones[0]), len(data.classes), data.shape[0], read_weights(weights))


def check_images(shape: tuple[int, int, int], backbones: Iterable[str]) -> None:
    """Make sure that the networks take images of this shape.

    Raises:
        UserError: images smaller than a network's stride, or that it raises with.
    """
    side = min(shape[1:])
    for name in backbones:
        network = backbone(name)
        if side < network.stride:
            raise UserError(f"images are {side} pixels wide; {name} needs at least {network.stride}")
        skeleton = zeroed(network.skeleton(shape[0], 2)).eval()
        device = next((parameter.device for parameter in skeleton.parameters()), torch.device("cpu"))
        try:
            with torch.inference_mode():
                skeleton(torch.zeros(2, *shape, device=device))
        except Exception as error:  # whatever a user's network does with an image of another size
            says = next(iter(str(error).splitlines()), type(error).__name__)
            raise UserError(f"{name} takes no images of {' x '.join(map(str, shape))}: {says}") from None


def check_same(study: str, frozen: Settings, asked: Settings) -> None:
    """Make sure that a study goes on with the settings it was made with.

    Raises:
        UserError: naming the difference.
    """
    for name, flag, show in (
        ("dataset", "--dataset", str),
        ("train_size", "--train-size", str),
        ("image_size", "--image-size", str),
        ("groups", "--groups", str),
        ("mean", "--normalise", lambda value: frozen.normalisation),
        ("std", "--normalise", lambda value: frozen.normalisation),
        ("metric", "--metric", str),
        ("weights", "--weights", str),
        ("backbones", "--backbone", ",".join),
        ("space", "--space", lambda value: frozen.space_name),
        ("seed", "--seed", str),
        ("device", "--device", str),
        ("images", "images", lambda value: " / ".join(f"{n} {split}" for split, n in value.items())),
    ):
        if getattr(frozen, name) != getattr(asked, name):
            raise UserError(_differs(study, f"{flag} {show(getattr(frozen, name))}"))
    if frozen.data not in ("", asked.data):
        raise UserError(
            f"study {study} was made with other images, labels or splits in {frozen.dataset}; "
            "put those back, or start another study"
        )
    known = frozen.files.keys() | (asked.files.keys() if frozen.data else ())  # an older study knew fewer
    for file in sorted(known):
        if asked.files.get(file) != frozen.files.get(file):
            raise UserError(_changed(study, file))
    if frozen.recipe != asked.recipe:
        made = f"--recipe {frozen.recipe_name}"
        if frozen.recipe == asked.recipe.with_epochs(frozen.recipe.epochs):
            made = f"--epochs {frozen.recipe.epochs}"
        elif frozen.recipe == asked.recipe.without_augmentation():
            made = "--no-augmentation"
        elif asked.recipe == frozen.recipe.without_augmentation():
            made = "augmentation"
        elif frozen.recipe == replace(asked.recipe, batch_size=frozen.recipe.batch_size):
            made = f"--batch-size {frozen.recipe.batch_size}"
        raise UserError(_differs(study, made))


def check_plugins(study: str, frozen: Settings, plugins: Iterable[Plugin]) -> None:
    """Make sure that a study goes on with the plug-ins it was made with.

    Raises:
        UserError: naming the one that is missing, too many, or changed.
    """
    asked = {plugin.name: plugin.digest for plugin in plugins}
    for name in sorted(frozen.plugins.keys() | asked.keys()):
        if name not in asked:
            raise UserError(f"study {study} was made with --plugin {name}; give it again")
        if name not in frozen.plugins:
            raise UserError(f"study {study} was made without --plugin {name}; leave it out, or start another study")
        if asked[name] != frozen.plugins[name]:
            raise UserError(_changed(study, name))


def _changed(study: str, file: str) -> str:
    return f"study {study} was made with another content of {file}; put that back, or start another study"


def _differs(study: str, made: str) -> str:
    return (
        f"study {study} was made with {made}; a study keeps its settings: leave that flag out, or start another study"
    )
