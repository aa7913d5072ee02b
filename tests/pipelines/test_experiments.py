"""The papers' tables as data: every network can be built, and has the parameters that the paper prints."""

import csv
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import torch

from pipelines.experiments import CLASSES, Experiment, experiment, experiments
from space.backbones import backbone
from space.build import build
from space.design import Design
from space.errors import UserError
from trainers.cost import count_params
from trainers.recipe import RECIPES

NAMES = [
    *("ras-section1", "ras-table1", "ras-table2", "ras-table3", "ras-figure2", "ras-start"),
    *(f"dia-table{number}" for number in range(1, 10)),
    *("dia-figure5", "dia-figure6"),
]
TABLES = {"RAS": "ras-table", "DIA": "dia-table"}


@cache
def params(backbone_name: str, design: Design, classes: int) -> int:
    with torch.device("meta"):
        return count_params(build(design, backbone(backbone_name), classes))


def printed_in_the_papers() -> dict[str, Counter[tuple[str, int, bool]]]:
    """(millions, exact count, whether they agree) of each table, from the project's list of all counts."""
    tables: dict[str, Counter[tuple[str, int, bool]]] = {name: Counter() for name in NAMES}
    with Path(__file__).with_name("paper_params.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            paper, table = row["row"].split()[:2]
            name = TABLES[paper] + table.removeprefix("T")
            tables[name][row["printed_millions"], int(row["exact"]), row["matches"] == "yes"] += 1
    return tables


PRINTED = printed_in_the_papers()
EVERY = pytest.mark.parametrize("named", [pytest.param(found, id=name) for name, found in experiments().items()])


def test_every_table_and_figure_is_there_in_the_order_of_the_papers() -> None:
    assert list(experiments()) == NAMES
    with pytest.raises(UserError, match="no experiment 'ras-table9'; there are ras-section1, ras-table1"):
        experiment("ras-table9")


@EVERY
def test_every_network_can_be_built_and_trained(named: Experiment) -> None:
    for row in named.rows:
        assert params(row.backbone, row.design, CLASSES[row.dataset]) > 0
        assert row.design == row.design.canonical(backbone(row.backbone).layout)
        assert row.recipe in RECIPES


@EVERY
def test_rows_have_names_of_their_own_and_are_compared_on_one_dataset(named: Experiment) -> None:
    rows = {row.name: row for row in named.rows}
    assert len(rows) == len(named.rows)
    for row in named.rows:
        if row.against is not None:
            assert row.against != row.name
            assert rows[row.against].dataset == row.dataset


@EVERY
def test_counts_are_those_that_the_paper_prints(named: Experiment) -> None:
    assert PRINTED[named.name] == Counter(
        (f"{row.printed.params:.2f}", params(row.backbone, row.counted, CLASSES[row.dataset]), row.mismatch is None)
        for row in named.counts
    )


@EVERY
def test_a_count_agrees_with_the_built_network_unless_a_row_says_why_not(named: Experiment) -> None:
    for row in named.counts:
        built = params(row.backbone, row.counted, CLASSES[row.dataset])
        assert (f"{built / 1e6:.2f}" == f"{row.printed.params:.2f}") == (row.mismatch is None), row.name
    assert all(row.printed.params is not None for row in named.rows if row.mismatch is not None)


def test_there_are_114_counts_of_which_4_do_not_match() -> None:
    counts = [row for found in experiments().values() for row in found.counts]
    assert len(counts) == sum(PRINTED[name].total() for name in NAMES) == 114
    assert sum(row.mismatch is not None for row in counts) == 4
