"""The rows of an experiment as they are trained: moved to other data or another backbone, and grouped into studies."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipelines.papers.experiments import CLASSES, PaperRow, Printed
from pipelines.settings.checks import check_fit
from pipelines.settings.format import FORMAT
from pipelines.settings.meant import meant
from pipelines.settings.options.shared import RunOptions
from pipelines.settings.options.task import Changes
from pipelines.settings.resolve import (
    default_recipe,
    digests,
    find_data_root,
    find_recipe,
    full_dataset_name,
)
from pipelines.terminal.console import say
from pipelines.terminal.formats import file_name
from pipelines.terminal.reading import reading_bar
from space import UserError
from space.backbones import Name, backbone
from space.choices import Candidate
from space.user_code import UserCode
from trainers.data import Data
from trainers.datasets import read_data
from trainers.recipe import Recipe
from trainers.source import Source
from trainers.task import Task

STUDIES = "reproduce"
"""Folder of the studies, and kind of the runs in MLflow."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows that share data and recipe, and so a study.

    Attributes:
        rows: to train.
        every: all of the experiment that belong into the study.
        source: of the data.
        data: read, to look at.
        recipe: how each network is trained.
        recipe_name: what the recipe is called.
        changes: to the paper's training.
    """

    rows: tuple[PaperRow, ...]
    every: tuple[PaperRow, ...]
    source: Source
    data: Data
    recipe: Recipe
    recipe_name: str
    changes: Changes

    @property
    def task(self) -> Task:
        """What its networks are for."""
        return Task(len(self.data.classes), self.data.shape)

    @property
    def learn_from_val(self) -> bool:
        """Whether the full training set is learnt from."""
        return self.changes.train_size is None

    @property
    def images(self) -> int:
        """Images to learn from."""
        sizes = self.data.sizes()
        return sizes["train"] + (sizes["val"] if self.learn_from_val else 0)

    def study_name(self, experiment_name: str, device_name: str, plugins: Sequence[UserCode]) -> str:
        """A readable name with a digest of all that the results depend on, but for rows and seeds: these extend it."""
        backbones = sorted({row.backbone for row in self.every})
        depends_on = {
            "format": FORMAT,
            "data": [self.source.name, self.source.train_size, self.data.digest],
            "backbones": backbones,
            "recipe": self.recipe.to_dict(),
            "device": device_name,
            "files": digests(backbones, None, None),
            "plugins": {plugin.path.name: plugin.digest for plugin in plugins},
        }
        digest = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:6]
        parts = [self.source.name, self.recipe_name, self.changes.backbone or ""]
        readable = [file_name(Name.parse(part).network.rstrip("/").rpartition("/")[2]) for part in parts if part]
        return f"{STUDIES}/{experiment_name}/{'-'.join([*readable, digest])}"


def candidate(row: PaperRow) -> Candidate:
    """What is trained for a row."""
    return row.backbone, row.design.canonical(backbone(row.backbone).layout)


def grouped(
    rows: Sequence[PaperRow], wanted: Sequence[PaperRow], changes: Changes, run: RunOptions, download: bool
) -> list[Group]:
    """The wanted rows by data and recipe, all of it read and checked.

    Args:
        rows: all of the experiment.
        wanted: some of them.
        changes: to the paper's training.
        run: where things are.
        download: fetch what is missing.

    Raises:
        UserError: data that is not there, or that does not fit the recipe or the networks.
    """
    names = {row.name for row in wanted}
    by_key: dict[tuple[str, str, bool], list[PaperRow]] = {}
    for row in _distinct([_moved(row, changes) for row in _on(rows, changes.dataset)], names):
        by_key.setdefault((row.dataset, row.recipe, row.augmentation), []).append(row)
    groups = []
    for (dataset, recipe_name, augmentation), every in by_key.items():
        there = tuple(row for row in every if row.name in names)
        if not there:
            continue
        recipe, _ = find_recipe(None, changes.epochs, None, recipe_name)
        source = Source(
            name=dataset,
            root=find_data_root(run),
            train_size=changes.train_size,
            cache=run.cache_folder,
            cache_bytes=run.cache_bytes,
        )
        with reading_bar() as on_read:
            data = read_data(source, download=download, check=True, on_read=on_read)
        for note in data.notes:
            say(note)
        check_fit(data, recipe, tuple({row.backbone for row in there}))
        groups.append(
            Group(
                rows=there,
                every=tuple(every),
                source=replace(source, digest=data.digest),
                data=data,
                recipe=recipe if augmentation else recipe.without_augmentation(),
                recipe_name=recipe_name if augmentation else f"{recipe_name}-unaugmented",
                changes=changes,
            )
        )
    if not groups:
        raise UserError(f"the experiment has other rows on {changes.dataset} than those; leave --rows or --dataset out")
    return groups


def _on(rows: Sequence[PaperRow], dataset: str | None) -> Sequence[PaperRow]:
    """The rows that the paper trains on this data set; all of them if it does not train there."""
    return [row for row in rows if row.dataset == dataset] or rows


def _moved(row: PaperRow, changes: Changes) -> PaperRow:
    """The row on the data set and backbone that the user wants; where that is another, the paper prints nothing."""
    dataset = full_dataset_name(meant(changes.dataset, None, "dataset", row.dataset))
    options = "".join(row.backbone.partition("+")[1:])
    on = backbone(meant(changes.backbone, None, "backbones", row.backbone)).name
    on = on if "+" in on else backbone(on + options).name
    default = row.recipe if dataset in CLASSES else default_recipe(dataset)
    recipe = meant(changes.recipe, None, "recipe_name", default)
    printed = row.printed if (dataset, on) == (row.dataset, row.backbone) else Printed()
    return replace(row, dataset=dataset, backbone=on, recipe=recipe, printed=printed)


def _distinct(rows: Sequence[PaperRow], names: set[str]) -> list[PaperRow]:
    """Each network once, and compared with one that is there; says which wanted rows fall together."""
    kept: dict[tuple[str, str, bool, Candidate], PaperRow] = {}
    instead: dict[tuple[str, str], str] = {}
    for row in sorted(rows, key=lambda row: row.name not in names):
        key = (row.dataset, row.recipe, row.augmentation, candidate(row))
        same = kept.setdefault(key, row)
        instead[row.dataset, row.network] = same.network
        if same.network != row.network and row.name in names:
            say(f"{row.network} is the same network as {same.network} on {row.backbone}, {row.dataset}: trained once")
    in_order = [row for row in rows if any(row is one for one in kept.values())]
    return [
        replace(row, against=instead.get((row.dataset, row.against), row.against)) if row.against else row
        for row in in_order
    ]
