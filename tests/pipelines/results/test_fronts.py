"""Which network gains are over, and what a front says of how sure it is."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from pipelines.results.fronts import front_rows, fronts_json, rows
from pipelines.results.tables import front_tables, front_verdict
from search.objectives import Objectives
from search.trials import Failure, FailureKind, Job, State, Trial
from space import Design
from tests.objectives import FPS, PARAMS
from tests.pipelines.conftest import Search
from tests.test_imports import loaded_by

PLAIN, GATED = ("resnet20", "none"), ("resnet20", "se")
OTHER = ("resnet11", "none")
LOST = Failure(kind=FailureKind.LOST_WORKER, reason="x")

SCORED = Objectives(metric="score", costs=(PARAMS, FPS))


def trial(
    number: int, candidate: tuple[str, str], score: float | None, state: State = State.COMPLETE, replicate: int = 0
) -> Trial:
    """One that trained to this score, or failed."""
    backbone, design = candidate
    return Trial(
        number=number,
        state=state if score is not None else State.FAILED,
        job=Job(
            backbone=backbone,
            design=Design.parse(design),
            seed=number,
            replicate=replicate,
            costs={"num_params": 100 + len(design), "macs": 1, "fps": 1000.0},
        ),
        history=() if score is None else ({"epoch": 1.0, "score": score},),
        failure=LOST if score is None else None,
        started=datetime(2026, 1, 1),
    )


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        ([trial(0, PLAIN, 0.5), trial(1, GATED, 0.75)], {0: 0, 1: 1}),
        ([trial(0, PLAIN, None), trial(1, GATED, 0.75)], {1: None}),
        ([trial(0, PLAIN, None), trial(1, GATED, 0.75), trial(2, PLAIN, 0.5)], {1: 1, 2: 0}),
        ([trial(0, PLAIN, None), trial(1, OTHER, 0.25), trial(2, GATED, 0.75)], {1: None, 2: None}),
        ([trial(0, PLAIN, None), trial(1, OTHER, 0.25), trial(2, PLAIN, 0.5)], {1: -1, 2: 0}),
        ([trial(0, PLAIN, 0.5, State.STOPPED), trial(1, GATED, 0.75)], {1: None}),
        ([trial(0, PLAIN, 0.5, State.INFEASIBLE), trial(1, OTHER, 0.5), trial(2, GATED, 0.75)], {1: 0, 2: 1}),
    ],
    ids=["trained", "lost", "tried again", "another backbone's", "both", "stopped", "beyond the limits"],
)
def test_gains_are_over_the_first_complete_training_of_the_plain_backbone(
    trials: list[Trial], expected: dict[int, float | None]
) -> None:
    for order in (trials, trials[::-1]):
        gains = {row.trial: row.gain for row in rows(order, {}, SCORED, 1000)}
        assert {n: gain if gain is None else np.sign(gain) for n, gain in gains.items()} == expected
    zero = [number for number, gain in expected.items() if gain == 0]
    assert [row.trial for row in rows(trials, {}, SCORED, 1000) if row.plain] == zero


def searched(gain: float, n: int) -> list[Trial]:
    """Plain and a design that trained n times each, and a poor one that trained once."""
    wobble = [0.0, 0.004, -0.004, 0.002]
    trials = [trial(9, ("resnet20", "eca:stages=23"), 0.6)]
    for k in range(n):
        trials.append(trial(2 * k + 10 * (k > 0), PLAIN, 0.8 + wobble[k], replicate=k))
        trials.append(
            trial(2 * k + 1 + 10 * (k > 0), ("resnet20", "se:reduction=8"), 0.8 + gain + wobble[-k], replicate=k)
        )
    return trials


def test_a_row_is_a_design_with_all_its_trainings_and_says_how_sure_it_is() -> None:
    plain, better, poor = rows(searched(0.08, 4), {}, SCORED, 1000)
    assert (plain.trial, better.trial, poor.trial) == (0, 1, 9)
    assert (plain.n, better.n, poor.n) == (4, 4, 1)
    assert (plain.gain, plain.low, plain.high, plain.p_better) == (0, 0, 0, 0)
    assert better.gain is not None
    assert better.low is not None
    assert better.high is not None
    assert 0 < better.low < better.gain < better.high
    assert better.gain == pytest.approx(better.score - plain.score)
    assert (better.p_better, better.p_front["params"], plain.p_front["params"]) == (1, 1, 1)
    assert poor.p_front["params"] < 0.01
    assert [row.trial for row in front_rows([plain, better, poor], PARAMS)] == [1, 0]


def test_one_seed_is_less_sure_than_four() -> None:
    once, often = (rows(searched(0.02, n), {}, SCORED, 1000)[1] for n in (1, 4))
    assert once.p_better is not None
    assert often.p_better is not None
    assert 0.5 < once.p_better < often.p_better


def test_json_has_what_a_program_needs_to_judge() -> None:
    best, plain = fronts_json(rows(searched(0.08, 4), {}, SCORED, 1000), SCORED)["params"]
    assert {"trial", "design", "score", "gain", "n", "low", "high", "p_better", "p_front", "num_params"} <= set(best)
    assert (best["n"], best["p_better"], best["p_front"], plain["design"]) == (4, 1.0, 1.0, "none")


def test_the_verdict_calls_no_luck_a_gain() -> None:
    sure, unsure, none = (rows(searched(gain, n), {}, SCORED, 1000) for gain, n in ((0.08, 4), (0.01, 1), (-0.05, 4)))
    assert front_verdict(sure).startswith("Best: +")
    assert "not better than plain" in front_verdict(unsure)
    assert "1 of 2 designs" in front_verdict(unsure)
    assert "not better than plain" in front_verdict(none)
    (table, _) = front_tables(sure)
    assert [column.header for column in table.columns][:5] == ["score", "gain (95 %)", "better", "on front", "n"]


@pytest.mark.parametrize("command", [["front"], ["front", "--json"], ["status"], ["status", "mine"]], ids=" ".join)
def test_a_study_is_read_without_what_trains_it(launch: Search, here: Path, command: list[str]) -> None:
    launch("--budget", "1", "--study", "mine")
    assert loaded_by(command, code=0, cwd=here) <= {"numpy", "optuna"}
