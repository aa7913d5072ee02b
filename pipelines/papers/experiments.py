"""The experiments of the two papers, as data: `papers/NAME.toml` holds the rows of one table or figure."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from space import Design, UserError

FOLDER = "pipelines.papers"
CLASSES = {"cifar10": 10, "cifar100": 100, "stl10": 10, "imagenet": 1000}
"""Of the data sets that the papers train on."""

Analysis = Literal["integration", "gradients"]


@dataclass(frozen=True, kw_only=True)
class Printed:
    """What the paper prints for a row; None where it prints nothing.

    Attributes:
        params: parameters, in millions.
        accuracy: test accuracy in percent; nan where training broke off.
        std: its standard deviation over seeds.
        gain: of accuracy over the row that this one is compared with.
        fps: images a second on the authors' GPU.
    """

    params: float | None = None
    accuracy: float | None = None
    std: float | None = None
    gain: float | None = None
    fps: float | None = None


@dataclass(frozen=True, kw_only=True)
class PaperRow:
    """A network on a data set.

    Attributes:
        name: unique in its experiment.
        network: its name without the data set.
        backbone: name.
        design: of its attention.
        dataset: name.
        recipe: name.
        augmentation: whether the recipe's augmentation is used.
        printed: what the paper says.
        counted_name: of the paper's parameter count; rows that share one have the same name.
        counted: the design that the paper counts, where it is another one than it trains.
        mismatch: why the count cannot match; None where it does.
        against: network that this one is compared with, seed by seed.
    """

    name: str
    network: str
    backbone: str
    design: Design
    dataset: str
    recipe: str
    augmentation: bool
    printed: Printed
    counted_name: str
    counted: Design
    mismatch: str | None
    against: str | None


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A table, a figure or a section.

    Attributes:
        name: what a user types.
        source: where in the paper.
        title: what it shows.
        note: what a reader of the printed values must know; may be empty.
        analysis: what is done with the trained networks.
        rows: in the paper's order.
    """

    name: str
    source: str
    title: str
    note: str
    analysis: Analysis | None
    rows: tuple[PaperRow, ...]

    @property
    def counts(self) -> list[PaperRow]:
        """A row for each parameter count that the paper prints."""
        counted: dict[str, PaperRow] = {}
        for row in self.rows:
            if row.printed.params is not None:
                counted.setdefault(row.counted_name, row)
        return list(counted.values())

    def of(self, texts: Sequence[str]) -> list[PaperRow]:
        """Rows of this name, or else with these words in their name: CIFAR10 is not CIFAR100; all without a text."""
        found: dict[str, PaperRow] = {}
        for text in texts:
            words = re.compile(rf"(?<!\w){re.escape(text.strip())}(?!\w)", re.IGNORECASE)
            same = [row for row in self.rows if text.strip().lower() in (row.name.lower(), row.network.lower())]
            found |= {row.name: row for row in same or self.rows if same or words.search(row.name)}
        return [row for row in self.rows if not texts or row.name in found]


@cache
def experiments() -> dict[str, Experiment]:
    """All experiments by name, in the order of the papers."""
    files = [entry for entry in resources.files(FOLDER).iterdir() if entry.name.endswith(".toml")]
    found = [_read(entry.name.removesuffix(".toml"), tomllib.loads(entry.read_text())) for entry in files]
    return {experiment.name: experiment for experiment in sorted(found, key=_order)}


def experiment(name: str) -> Experiment:
    """The experiment of this name.

    Raises:
        UserError: an unknown name.
    """
    if name not in experiments():
        raise UserError(f"no experiment {name!r}; there are {', '.join(experiments())}")
    return experiments()[name]


def papers_designs() -> list[Design]:
    """Every design that the papers train, each once, in the order of the papers."""
    return list(dict.fromkeys(row.design for each in experiments().values() for row in each.rows))


def _order(experiment: Experiment) -> tuple[bool, int, str]:
    places = ("section", "table", "figure")
    kind = next((number for number, place in enumerate(places) if place in experiment.name), len(places))
    return experiment.name.startswith("dia"), kind, experiment.name


def _read(name: str, table: Mapping[str, Any]) -> Experiment:
    several = len({dataset for network in table["network"] for dataset in network if dataset in CLASSES}) > 1
    return Experiment(
        name=name,
        source=table["source"],
        title=table["title"],
        note=table.get("note", ""),
        analysis=table.get("analysis"),
        rows=tuple(
            _row(table, network, dataset, f" {dataset.upper()}" if several else "")
            for network in table["network"]
            for dataset in CLASSES
            if dataset in network
        ),
    )


def _row(table: Mapping[str, Any], network: Mapping[str, Any], dataset: str, suffix: str) -> PaperRow:
    printed = dict(network[dataset])
    mismatch = printed.pop("mismatch", None)
    counted = network.get("counted", {"name": network["name"], "design": network["design"]})
    return PaperRow(
        name=network["name"] + suffix,
        network=network["name"],
        backbone=network["backbone"],
        design=Design.parse(network["design"]),
        dataset=dataset,
        recipe=network.get("recipe") or table["recipe"][dataset],
        augmentation=network.get("augmentation", True),
        printed=Printed(**printed),
        counted_name=counted["name"] + suffix,
        counted=Design.parse(counted["design"]),
        mismatch=mismatch,
        against=network.get("against"),
    )
