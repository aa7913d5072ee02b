"""The rows of an experiment as they are trained: narrowed, moved to other data, and grouped into studies."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.console import say, stderr
from pipelines.experiments import Experiment, Printed, Row
from pipelines.resolve import default_recipe, full_dataset_name
from pipelines.settings import check_fit
from space import UserError
from space.backbones import backbone
from space.choices import Candidate
from trainers.cost import Task
from trainers.data import Data
from trainers.datasets import Source, load
from trainers.recipe import Recipe
from trainers.recipe import recipe as find_recipe
from trainers.throughput import device_name

STUDIES = "reproduce"
"""Folder of the studies, and kind of the runs in MLflow."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows that share data and recipe, and so a study.

    Attributes:
        rows: of the experiment.
        source: of the data.
        data: read, to look at.
        recipe: how each network is trained.
        recipe_name: what the recipe is called.
        learn_from_val: whether the full training set is learnt from.
    """

    rows: tuple[Row, ...]
    source: Source
    data: Data
    recipe: Recipe
    recipe_name: str
    learn_from_val: bool

    @property
    def task(self) -> Task:
        """What its networks are for."""
        return Task(len(self.data.classes), self.data.shape)

    @property
    def images(self) -> int:
        """Images to learn from."""
        sizes = self.data.sizes()
        return sizes["train"] + (sizes["val"] if self.learn_from_val else 0)

    def study_name(self, experiment_name: str, device: str) -> str:
        """The same data, recipe and device go on where they stopped; other rows and seeds extend them."""
        table = [self.source.name, self.source.train_size, self.recipe.to_dict(), device_name(device)]
        digest = hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:6]
        dataset = "".join(c if c.isalnum() else "-" for c in self.source.name)
        return f"{STUDIES}/{experiment_name}/{dataset}-{self.recipe_name}-{digest}"


def candidate(row: Row) -> Candidate:
    """What is trained for a row."""
    return row.backbone, row.design.canonical(backbone(row.backbone).layout)


def narrowed(what: Experiment, texts: Sequence[str]) -> Experiment:
    """Only the rows whose name has one of these texts in it, as whole words: CIFAR10 is not CIFAR100."""
    if not texts:
        return what
    patterns = [re.compile(rf"(?<!\w){re.escape(text.strip())}(?!\w)", re.IGNORECASE) for text in texts]
    kept = tuple(row for row in what.rows if any(pattern.search(row.name) for pattern in patterns))
    if not kept:
        names = ", ".join(row.name for row in what.rows)
        raise UserError(f"--rows {', '.join(texts)}: no row of {what.name} has these words; there are {names}")
    return replace(what, rows=kept)


def moved(rows: Sequence[Row], dataset: str | None, on: str | None) -> list[Row]:
    """The rows on the data set and backbone that the user wants instead, each network once."""
    if dataset is None and on is None:
        return list(rows)
    changed = [
        replace(
            row,
            name=row.name if dataset is None else row.network,
            dataset=row.dataset if dataset is None else full_dataset_name(dataset),
            backbone=row.backbone if on is None else backbone(on).name,
            recipe=row.recipe if dataset is None else default_recipe(dataset),
            printed=Printed(),
        )
        for row in rows
    ]
    first: dict[Any, Row] = {}
    for row in changed:
        same = first.setdefault((row.dataset, row.augmentation, candidate(row)), row)
        if same.network != row.network:
            say(f"{row.network} is the same network as {same.network} on {row.backbone}: trained once")
    return list(first.values())


def grouped(
    rows: Sequence[Row],
    *,
    recipe: str | None,
    epochs: int | None,
    train_size: int | None,
    data_root: Path,
    download: bool,
) -> list[Group]:
    """The rows by data and recipe, all of it read and checked.

    Args:
        rows: of one experiment.
        recipe: instead of the rows' own.
        epochs: instead of the recipe's.
        train_size: images to learn from; None for the full training set.
        data_root: folder of the data sets.
        download: fetch what is missing.

    Raises:
        UserError: data that is not there, or that does not fit the recipe or the networks.
    """
    by_key: dict[tuple[str, str, bool], list[Row]] = {}
    for row in rows:
        by_key.setdefault((row.dataset, recipe or row.recipe, row.augmentation), []).append(row)
    groups = []
    for (dataset, recipe_name, augmentation), there in by_key.items():
        how = find_recipe(recipe_name)
        how = how if epochs is None else how.with_epochs(epochs)
        source = Source(name=dataset, root=data_root, train_size=train_size)
        with stderr.status(f"reading {dataset}"):
            data = load(source, download=download)
        check_fit(data, how, tuple({row.backbone for row in there}))
        groups.append(
            Group(
                rows=tuple(there),
                source=source,
                data=data,
                recipe=how if augmentation else how.without_augmentation(),
                recipe_name=recipe_name if augmentation else f"{recipe_name}-unaugmented",
                learn_from_val=train_size is None,
            )
        )
    return groups
