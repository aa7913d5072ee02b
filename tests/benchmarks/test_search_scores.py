"""How searches on a table are scored: by properties of the scores, on planted tables."""

import numpy as np
import pytest

from benchmarks.search_scores import SHOWN, Truth, calibration, reliability, variances, with_interval
from search.table import Table, truth
from space.design import Design
from tests.objectives import OBJECTIVES

DESIGNS = tuple(map(Design.parse, ("none", "eca", "se", "ras", "dia", "cbam")))


@pytest.fixture
def table() -> Table:
    """Dearer designs are better, but for cbam, which is worse than plain; sem failed once."""
    random = np.random.default_rng(0)
    designs = (*DESIGNS, Design.parse("sem"))
    end = np.array([0.80, 0.81, 0.83, 0.84, 0.87, 0.70, 0.99])[:, None] + random.normal(0, 1e-4, (7, 4))
    curves = np.repeat(end[:, :, None], 3, axis=2).astype(np.float32)
    curves[6, 1, 2] = np.nan
    return Table(
        designs=designs,
        val_accuracy=curves,
        seconds=np.ones((7, 4)),
        costs={"num_params": np.arange(1000, 1007), "fps": np.arange(7000.0, 0.0, -1000.0)},
        settings={},
    )


@pytest.fixture
def scored(table: Table) -> Truth:
    return Truth.of(table, 3, OBJECTIVES)


def test_the_true_front_is_all_that_there_is_and_plain_is_nothing(scored: Truth) -> None:
    assert scored.quality([DESIGNS[:5], DESIGNS[:5]]) == pytest.approx(1)
    assert scored.quality([[Design()], []]) == scored.quality([[], []]) == 0
    assert scored.quality([[DESIGNS[5]], []]) == 0  # worse than plain


def test_whatever_is_added_to_a_front_adds_to_the_quality(scored: Truth) -> None:
    found = [scored.quality([DESIGNS[:count], []]) for count in range(6)]
    assert found == sorted(found)
    assert scored.quality([DESIGNS[:2], DESIGNS[2:4]]) == scored.quality([DESIGNS[:4], []])


def test_only_the_first_rows_of_a_front_count(scored: Truth) -> None:
    assert scored.quality([[Design()] * SHOWN + [DESIGNS[4]], []]) == 0
    assert scored.quality([[Design()] * (SHOWN - 1) + [DESIGNS[4]], []]) > 0


def test_a_design_that_failed_under_some_seed_is_worth_nothing(scored: Truth) -> None:
    failed = Design.parse("sem")
    assert scored.quality([[failed], []]) == 0
    assert np.isnan(scored.gain(failed))


def test_gain_and_regret_are_by_the_seeds_that_the_search_does_not_see(table: Table, scored: Truth) -> None:
    accuracy = dict(zip(table.designs, truth(table, 3), strict=True))
    for design in DESIGNS:
        assert scored.gain(design) == accuracy[design] - accuracy[Design()]
    assert [scored.regret(design) for design in DESIGNS[:5]] == pytest.approx([0] * 5)  # nothing cheaper is better
    assert scored.regret(DESIGNS[5]) == pytest.approx(accuracy[DESIGNS[4]] - accuracy[DESIGNS[5]])


@pytest.mark.parametrize(("between", "within"), [(0.02, 0.01), (0.01, 0.02), (0.0, 0.02)])
def test_planted_variances_are_found_whatever_the_levels_of_the_seeds(between: float, within: float) -> None:
    random = np.random.default_rng(1)
    designs, levels = random.normal(0, between, (2000, 1)), random.normal(0, 0.5, 6)
    scores = designs + levels + random.normal(0, within, (2000, 6))
    assert variances(scores) == pytest.approx((between**2, within**2), rel=0.1, abs=1e-5)
    of_six = between**2 / (between**2 + within**2 / 6)
    assert reliability(scores, 6) == pytest.approx(of_six, abs=0.05)
    assert reliability(scores) == pytest.approx(between**2 / (between**2 + within**2), abs=0.05)


def test_probabilities_that_are_true_are_found_calibrated() -> None:
    random = np.random.default_rng(2)
    p = random.uniform(0, 1, 20000)
    gains = np.where(random.uniform(0, 1, 20000) < p, 0.02, -0.02)
    found = calibration([(float(one), 3, float(gain)) for one, gain in zip(p, gains, strict=True)])
    assert found["sure_and_better"] / found["sure"] == pytest.approx(0.95, abs=0.02)
    assert found["sure"] == np.sum(p >= 0.9)
    assert found["better"] == np.sum(gains > 0)
    assert found["better_and_sure"] / found["better"] == pytest.approx(0.095 / 0.5, abs=0.02)


def test_designs_that_were_trained_once_are_not_missed() -> None:
    assert calibration([(0.5, 1, 0.05), (0.95, 3, 0.05), (0.2, 3, 0.009)])["better"] == 1


def test_the_interval_of_a_median_holds_it() -> None:
    values = list(np.random.default_rng(3).normal(5, 1, 50))
    median, low, high = with_interval(np.median, values)
    assert low < median < high
    assert median == np.median(values)
    assert with_interval(np.median, [2.0] * 5) == (2.0, 2.0, 2.0)
