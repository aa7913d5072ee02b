"""Which network gains are over."""

from datetime import datetime
from pathlib import Path

import pytest

from pipelines.results.fronts import rows
from search.objectives import Objectives
from search.trials import Failure, Job, Kind, State, Trial
from space import Design
from tests.objectives import FPS, PARAMS
from tests.pipelines.conftest import Search
from tests.test_imports import loaded_by

PLAIN, GATED = ("resnet20", "none"), ("resnet20", "se")
OTHER = ("resnet11", "none")
LOST = Failure(kind=Kind.LOST_WORKER, reason="x")

SCORED = Objectives(metric="score", costs=(PARAMS, FPS))


def trial(number: int, candidate: tuple[str, str], score: float | None, state: State = State.COMPLETE) -> Trial:
    """One that trained to this score, or failed."""
    backbone, design = candidate
    return Trial(
        number=number,
        state=state if score is not None else State.FAILED,
        job=Job(
            backbone=backbone,
            design=Design.parse(design),
            seed=number,
            costs={"num_params": 100 + number, "macs": 1, "fps": 1000.0},
        ),
        history=() if score is None else ({"epoch": 1.0, "score": score},),
        failure=LOST if score is None else None,
        started=datetime(2026, 1, 1),
    )


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        ([trial(0, PLAIN, 0.5), trial(1, GATED, 0.75)], {0: 0.0, 1: 0.25}),
        ([trial(0, PLAIN, None), trial(1, GATED, 0.75)], {1: None}),
        ([trial(0, PLAIN, None), trial(1, GATED, 0.75), trial(2, PLAIN, 0.5)], {1: 0.25, 2: 0.0}),
        ([trial(0, PLAIN, None), trial(1, OTHER, 0.25), trial(2, GATED, 0.75)], {1: None, 2: None}),
        ([trial(0, PLAIN, None), trial(1, OTHER, 0.25), trial(2, PLAIN, 0.5)], {1: -0.25, 2: 0.0}),
        ([trial(0, PLAIN, 0.5, State.STOPPED), trial(1, GATED, 0.75)], {1: None}),
        ([trial(0, PLAIN, 0.5, State.INFEASIBLE), trial(1, OTHER, 0.5), trial(2, GATED, 0.75)], {1: 0.0, 2: 0.25}),
    ],
    ids=["trained", "lost", "tried again", "another backbone's", "both", "stopped", "beyond the limits"],
)
def test_gains_are_over_the_first_complete_training_of_the_plain_backbone(
    trials: list[Trial], expected: dict[int, float | None]
) -> None:
    for order in (trials, trials[::-1]):
        assert {row.trial: row.gain for row in rows(order, {}, SCORED)} == expected
    zero = [number for number, gain in expected.items() if gain == 0]
    assert [row.trial for row in rows(trials, {}, SCORED) if row.plain] == zero


@pytest.mark.parametrize("command", [["front"], ["front", "--json"], ["status"], ["status", "mine"]], ids=" ".join)
def test_a_study_is_read_without_what_trains_it(launch: Search, here: Path, command: list[str]) -> None:
    launch("--budget", "1", "--study", "mine")
    assert loaded_by(command, code=0, cwd=here) <= {"numpy", "optuna"}
