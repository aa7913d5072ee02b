"""Counts that are kept are those that counting would give."""

import random
from collections.abc import Callable
from dataclasses import replace

from search.tally import Tally
from search.trials import State, Trial


def test_counts_are_those_of_the_trials_whatever_came_in_which_order(make_trial: Callable[..., Trial]) -> None:
    rng, tally = random.Random(0), Tally()
    for _ in range(300):
        number, replicate = rng.randrange(40), rng.choice([0, 0, 1])
        trial = make_trial(0.5, number=number, replicate=replicate)
        tally[number] = replace(trial, state=rng.choice(list(State)))
        assert tally.trained == sum(it.counts for it in tally.values())
        assert tally.running == {n: it for n, it in tally.items() if it.state is State.RUNNING}
        assert [it.number for it in tally.in_order()] == sorted(tally)
