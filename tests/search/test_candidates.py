"""What a sampler may choose, as rows of numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution

from search.candidates import OUTSIDE, Candidates
from search.trials import JOB
from space.design import Design

PARAMS: Mapping[str, Mapping[str, Any]] = {
    "one": {"kind": "a", "a.size": 1},
    "two": {"kind": "a", "a.size": 2},
    "three": {"kind": "b", "b.size": 1, "depth": 4},
}


def a_trial(params: Mapping[str, Any], **user_attrs: Any) -> optuna.trial.FrozenTrial:
    distributions: dict[str, BaseDistribution] = {
        name: CategoricalDistribution((value,)) for name, value in params.items()
    }
    return optuna.create_trial(params=dict(params), distributions=distributions, value=0.0, user_attrs=user_attrs)


def a_study(*trials: optuna.trial.FrozenTrial) -> tuple[optuna.Study, list[optuna.trial.FrozenTrial]]:
    study = optuna.create_study()
    study.add_trials(trials)
    return study, study.get_trials()


def test_what_is_known_of_a_trials_job_goes_before_its_parameters() -> None:
    job = {"backbone": "resnet20", "design": "se:reduction=4"}
    designs = ("resnet20", Design.parse("se:reduction=4")), ("resnet20", Design())
    candidates = Candidates({designs[0]: {"x": 1}, designs[1]: {"x": 0}})
    told, other = a_trial({"x": 0}, **{JOB: job}), a_trial({"x": 1}, **{JOB: {**job, "backbone": "another"}})
    study = a_study(a_trial({"x": 0}), told, a_trial({"x": 7}), other)
    assert list(candidates.places(*study)) == [1, 0, OUTSIDE, OUTSIDE]


def test_rows_are_equal_where_fields_are_whoever_has_tried_them() -> None:
    candidates = Candidates(PARAMS)
    study, trials = a_study(
        a_trial(PARAMS["three"]),
        a_trial({"kind": "a", "a.size": 9, "new": 1}),
        a_trial({"kind": "a", "b.size": 2}),
    )
    rows, tried = candidates.encoded(np.arange(3), trials, candidates.places(study, trials))
    assert rows.shape == (3, 4) == tried.shape  # kind, size, depth, and a field that no candidate has
    np.testing.assert_array_equal(tried[0], rows[2])
    np.testing.assert_array_equal(tried[2], rows[1])
    agree = tried[1] == rows[0]
    assert list(agree) == [True, False, True, False]
    again, _ = candidates.encoded(np.array([2, 0]), [], candidates.places(study, []))
    np.testing.assert_array_equal(again, rows[[2, 0]][:, :3])


def test_agreeing_are_those_that_a_trial_may_still_come_to() -> None:
    candidates = Candidates(PARAMS)
    assert list(candidates.agreeing({})) == [0, 1, 2]
    assert list(candidates.agreeing({"kind": "a"})) == [0, 1]
    assert list(candidates.agreeing({"a.size": 2})) == [1, 2]
    assert list(candidates.agreeing({"kind": "c"})) == []


def test_drawn_are_some_that_may_be_chosen() -> None:
    candidates = Candidates({number: {"x": number} for number in range(100)}, allowed=lambda number: number % 2 == 0)
    random = np.random.default_rng(0)
    places = np.arange(10, 60)
    assert list(candidates.drawn(places, 50, random)) == list(range(10, 60, 2))
    drawn = [candidates.drawn(places, 12, random) for _ in range(200)]
    for some in drawn:
        assert len(some) == 12
        assert list(some) == sorted({*some.tolist()} & {*range(10, 60, 2)})
    assert {*np.concatenate(drawn).tolist()} == {*range(10, 60, 2)}
    assert len(candidates.drawn(np.array([1, 3, 5]), 2, random)) == 0


@pytest.mark.parametrize("place", range(3))
def test_they_are_a_mapping_in_the_order_given(place: int) -> None:
    candidates = Candidates(PARAMS)
    assert dict(candidates) == PARAMS
    assert candidates.at(place) == list(PARAMS)[place]
