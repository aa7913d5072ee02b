"""What makes the results of a study comparable: frozen when it is made, and what its name derives from."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from pipelines.settings.format import FORMAT, check_format
from pipelines.terminal.formats import file_name
from space import Design, Layout, SearchSpace
from space.backbones import Name, backbone
from space.build import build
from space.choices import Candidate
from space.normalisation import IMAGENET
from trainers.deployment import Deployment
from trainers.recipe import Recipe
from trainers.source import Preparation, Source
from trainers.task import Task

BESIDE_TRAINING = {"space", "space_name", "recipe_name", "objectives", "device_name", "groups"}
BESIDE_TRAINING |= {"form", "dtype", "device_file", "device_digest"}
"""Settings that no training depends on: what is searched, how it is judged, names, and what the digests cover."""


@dataclass(frozen=True, kw_only=True)
class Settings(Preparation):
    """The frozen settings of a study.

    Attributes:
        dataset: name, as typed.
        data: digest of all images, labels and splits.
        images: images in each split.
        num_classes: classes.
        shape: channels, height and width of an image.
        backbones: names, the plain one to compare with first.
        weights: file of the pretrained weights; None for none.
        files: digests of the files beside the images that results depend on: weights, groups, a user's network.
        plugins: digests of the plug-ins and of what they import, by the names of their files.
        space: options of each field of each attention.
        recipe: how each design is trained.
        seed: of the search; the seed of each training derives from it.
        device: cpu or cuda.
        device_name: the processor that speed and memory are measured on.
        form: in which networks run once they are trained, see `Deployment`.
        dtype: of weights and images then.
        device_file: that speed and memory are known from; None where they are measured here.
        device_digest: of that file.
        objectives: names of what the fronts are made of: the metric of the split that selects, then costs.
        table: digest of the table of curves that takes the place of training; None where networks are trained.
        space_name: what the user called the space; for reading only.
        recipe_name: what the user called the recipe; for reading only.
    """

    dataset: str
    data: str
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
    form: str
    dtype: str
    device_file: str | None = None
    device_digest: str | None = None
    objectives: tuple[str, ...]
    table: str | None = None
    space_name: str
    recipe_name: str

    @property
    def task(self) -> Task:
        """What its networks are for."""
        return Task(self.num_classes, self.shape)

    @property
    def deployment(self) -> Deployment:
        """How its networks run once they are trained."""
        return Deployment(
            device=self.device,
            form=self.form,
            dtype=self.dtype,
            file=None if self.device_file is None else Path(self.device_file),
        )

    @property
    def metric(self) -> str:
        """What is to be maximised: accuracy, balanced_accuracy or macro_f1."""
        return self.objectives[0].removeprefix("val_")

    @property
    def costs(self) -> tuple[str, ...]:
        """What is to be traded for it."""
        return self.objectives[1:]

    @property
    def levels(self) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
        """What images are normalised with."""
        return self.mean, self.std

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
            cache=cache,
            cache_bytes=cache_bytes,
            digest=self.data,
            **self.preparation(),
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

    def differing_trainings(self, other: "Settings") -> list[str]:
        """What differs of all that a training depends on, in words; nothing where the same design trains alike."""
        mine, its = self.to_json(), other.to_json()
        return [name.replace("_", " ") for name in mine if name not in BESIDE_TRAINING and mine[name] != its[name]]

    def study_name(self) -> str:
        """A readable name with a digest of everything that matters to the results."""
        table = {name: value for name, value in self.to_json().items() if name not in ("space_name", "recipe_name")}
        digest = hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:6]
        dataset = file_name(self.dataset.rstrip("/").rpartition("/")[2])
        backbones = file_name("-".join(Name.parse(name).network.rpartition("/")[2] for name in self.backbones))
        return f"{dataset}-{backbones}-{digest}"

    def to_json(self) -> dict[str, Any]:
        """For the study; `from_json` is the way back."""
        table = {"format": FORMAT, **asdict(self), "recipe": self.recipe.to_dict()}
        normalised: dict[str, Any] = json.loads(json.dumps(table, default=str))  # of paths
        return normalised

    def to_params(self) -> dict[str, Any]:
        """For MLflow: all but the space, the recipe in its parts."""
        table = {name: value for name, value in self.to_json().items() if name not in ("recipe", "space", "space_name")}
        return {**table, **self.recipe.to_params()}

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> "Settings":
        """The settings that `to_json` described.

        Raises:
            UserError: another version's.
        """
        check_format(table)
        return cls(
            **{
                **{name: value for name, value in table.items() if name != "format"},
                "recipe": Recipe.from_dict(table["recipe"]),
                "shape": tuple(table["shape"]),
                **{name: tuple(table[name]) for name in ("mean", "std") if table.get(name)},
                **({"groups": Path(table["groups"])} if table.get("groups") else {}),
                "backbones": tuple(table["backbones"]),
                "objectives": tuple(table["objectives"]),
            }
        )


def digest_of(path: Path) -> str:
    """Of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
