"""What is said of a table of curves, on planted ones."""

import numpy as np
import pytest

from benchmarks.describe_table import complete, describe, describe_effect, mean_and_half_width
from search.table import Table
from space.design import Design

DESIGNS = ("none", "se", "se:start=unit", "eca", "eca:start=unit", "sem")


@pytest.fixture
def table() -> Table:
    """A start at 1 costs SE 2 points and gives ECA 1, under every seed; SEM failed once."""
    levels = np.random.default_rng(0).normal(0, 0.05, 4)
    end = np.array([0.80, 0.84, 0.82, 0.81, 0.82, 0.99])[:, None] + levels
    curves = np.stack([end / 2, end], axis=2).astype(np.float32)
    curves[5, 1, 1] = np.nan
    return Table(
        designs=tuple(map(Design.parse, DESIGNS)),
        val_accuracy=curves,
        seconds=np.ones((6, 4)),
        costs={"num_params": np.arange(1000, 1006), "fps": np.arange(6000.0, 0.0, -1000.0)},
        settings={},
    )


def test_a_design_of_which_a_training_failed_is_left_out(table: Table) -> None:
    designs, curves = complete(table)
    assert [str(design) for design in designs] == list(DESIGNS[:-1])
    assert np.isfinite(curves).all()


def test_the_effect_of_a_choice_is_over_its_default_whatever_the_levels_of_the_seeds(
    table: Table, capsys: pytest.CaptureFixture[str]
) -> None:
    describe_effect(table, "start")
    said = capsys.readouterr().out.splitlines()
    assert [line.rsplit("   ", 1)[0] for line in said] == [
        "se, start=unit       -2.0 [-2.0, -2.0]",
        "eca, start=unit      +1.0 [+1.0, +1.0]",
    ]


def test_a_front_has_what_nothing_cheaper_surpasses(table: Table, capsys: pytest.CaptureFixture[str]) -> None:
    describe(table)
    said = capsys.readouterr().out
    assert "better than plain: 0.80 by the mean, 0.80 by the interval" in said
    for front in said.split("front of ")[1:]:
        assert [line.split()[0] for line in front.splitlines()[1:]] == ["none", "se"]


def test_intervals_hold_the_truth_in_95_of_100() -> None:
    mean, half = mean_and_half_width(np.random.default_rng(1).normal(0.3, 1, (4000, 6)))
    assert (abs(mean - 0.3) < half).mean() == pytest.approx(0.95, abs=0.015)
