"""The papers' tables as data: every network can be built, and has the parameters that the paper prints."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from pipelines.papers.counts import counts
from pipelines.papers.experiments import Experiment, experiment, experiments
from space.backbones import backbone
from space.errors import UserError
from tests.pipelines.conftest import Search
from trainers.datasets import DATASETS
from trainers.recipe import RECIPES

NAMES = [
    *("ras-section1", "ras-table1", "ras-table2", "ras-table3", "ras-figure2", "ras-start"),
    *(f"dia-table{number}" for number in range(1, 10)),
    *("dia-figure5", "dia-figure6"),
]
TABLES = {"RAS": "ras-table", "DIA": "dia-table"}


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
def test_every_row_names_what_there_is(named: Experiment) -> None:
    for row in named.rows:
        assert row.design == row.design.canonical(backbone(row.backbone).layout)
        assert row.recipe in RECIPES
        assert row.dataset in DATASETS


@EVERY
def test_rows_have_names_of_their_own_and_are_compared_on_one_dataset(named: Experiment) -> None:
    assert len({row.name for row in named.rows}) == len(named.rows)
    for row in named.rows:
        if row.against is not None:
            (rival,) = [r for r in named.rows if (r.network, r.dataset) == (row.against, row.dataset)]
            assert rival is not row


@EVERY
def test_counts_are_those_that_the_paper_prints(named: Experiment) -> None:
    found = counts(named)
    assert PRINTED[named.name] == Counter(
        (f"{entry['printed_millions']:.2f}", entry["num_params"], entry["match"]) for entry in found
    )
    assert all(entry["match"] == (entry["why"] is None) for entry in found)
    assert all(row.printed.params is not None for row in named.rows if row.mismatch is not None)


def test_networks_with_bns_that_the_paper_leaves_out_are_counted_too() -> None:
    built = {entry["row"].split()[0]: entry["built"] for entry in counts(experiment("ras-table3"))}
    shared, third, fourth = 2 * 448 * 18, 2 * 2 * 448 * 18, 3 * 2 * 448 * 18  # 2 C a BN
    for module, plain in {"ECA": 1727518, "SENet": 1929388, "SpaNet": 3856180}.items():
        name = {"SENet": "se", "SpaNet": "spa"}.get(module, "eca")
        assert built[module] == {
            f"{name}:depth=3,bn=shared": plain + shared,
            f"{name}:depth=3": plain + third,
            f"{name}:depth=4,bn=shared": plain + shared,
            f"{name}:depth=4": plain + fourth,
        }
    assert built["RAS"] == {"ras:depth=3": 1759540 + shared, "ras:depth=4": 1759540 + 2 * shared}


def test_all_114_are_printed_of_which_4_do_not_match(search: Search) -> None:
    found = search("reproduce", "--all", "--params-only", "--json").json
    assert len(found) == sum(PRINTED[name].total() for name in NAMES) == 114
    assert sum(entry["match"] for entry in found) == 110
    assert all(set(entry) == {"experiment", "row", "printed_millions", "num_params", "match"} for entry in found)

    shown = search("reproduce", "ras-table1", "--params-only").out
    assert shown.count("mismatch") == 4
    assert "-0.0083 M" in shown
    assert "38 of 42 printed counts match" in shown
