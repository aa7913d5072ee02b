"""The effect of each choice."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from search.importance import Effect, effects
from search.trials import State, Trial
from space.design import Design, Stage
from space.space_files import load_space

SPACE = load_space("small", {"tiny": (Stage(2, 16), Stage(2, 32), Stage(2, 64))})
DESIGNS = [design for _, design in SPACE.enumerate() if design.attention in ("none", "se", "ras", "eca")]
ADDED = {("attention", "se"): 0.03, ("attention", "eca"): -0.02, ("depth", "2"): 0.02, ("start", "unit"): -0.015}
"""To accuracy; all else adds nothing."""


def truth(design: Design) -> float:
    fields = design.to_dict().items()
    return 0.7 + sum(ADDED.get((name, str(value)), 0.0) for name, value in fields)


def gain(attention: str, designs: list[Design]) -> float:
    return float(np.mean([truth(design) for design in designs if design.attention == attention])) - truth(Design())


def true_effect(effect: Effect, among: list[Effect], designs: list[Design]) -> float:
    if effect.field == "attention":
        return gain(effect.value, designs)
    added = [ADDED.get((other.field, other.value), 0.0) for other in among if other.field == effect.field]
    return ADDED.get((effect.field, effect.value), 0.0) - float(np.mean(added))


@pytest.fixture
def trained(make_trial: Callable[..., Trial]) -> Callable[..., list[Trial]]:
    """Trains the plain network and some designs, with noise: (seed, count=80, noise=0.015)."""

    def train(seed: int, count: int = 80, noise: float = 0.015) -> list[Trial]:
        random = np.random.default_rng(seed)
        places = [0, *random.choice(range(1, len(DESIGNS)), count - 1, replace=False)]
        trials = []
        for number, place in enumerate(places):
            trial = make_trial(truth(DESIGNS[place]) + noise * float(random.normal()))
            trials.append(replace(trial, number=number, job=replace(trial.job, design=DESIGNS[place], seed=number)))
        return trials

    return train


def test_planted_effects_are_found_and_their_intervals_hold_them(trained: Callable[..., list[Trial]]) -> None:
    holds, found = [], []
    for seed in range(10):
        trials = trained(seed)
        there = effects(trials, "val_accuracy")
        designs = [trial.job.design for trial in trials]
        for effect in there:
            true = true_effect(effect, there, designs)
            holds.append(effect.low <= true <= effect.high)
            if effect.field == "depth" and effect.value == "2":
                found.append(effect.clear and effect.mean > 0)
    assert np.mean(holds) >= 0.85
    assert np.mean(found) >= 0.8


def test_more_trainings_narrow_the_intervals(trained: Callable[..., list[Trial]]) -> None:
    once = trained(0)
    thrice = [replace(trial, number=3 * trial.number + k) for trial in once for k in range(3)]
    widths = [[effect.high - effect.low for effect in effects(trials, "val_accuracy")] for trials in (once, thrice)]
    assert np.mean(widths[1]) < np.mean(widths[0])


def test_only_choices_that_differ_have_effects(trained: Callable[..., list[Trial]]) -> None:
    trials = trained(0)
    fields = {effect.field for effect in effects(trials, "val_accuracy")}
    assert "backbone" not in fields
    assert {"attention", "depth", "stages", "start"} <= fields
    assert effects(trials[:1], "val_accuracy") == effects([], "val_accuracy") == []
    lost = [replace(trial, state=State.FAILED) for trial in trials]
    assert effects(lost, "val_accuracy") == []


def test_the_effects_of_the_values_of_a_field_cancel(trained: Callable[..., list[Trial]]) -> None:
    there = effects(trained(0), "val_accuracy")
    for field in {effect.field for effect in there} - {"attention"}:
        assert sum(effect.mean for effect in there if effect.field == field) == pytest.approx(0, abs=1e-9)
