"""Counts that are kept are those that counting would give."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from search.tally import Tally
from search.trials import Failure, FailureKind, State, Trial


def test_counts_are_those_of_the_trials_whatever_came_in_which_order(make_trial: Callable[..., Trial]) -> None:
    rng, tally, longest = random.Random(0), Tally(), 0
    for _ in range(300):
        number, replicate = rng.randrange(40), rng.choice([0, 0, 1, 2])
        trial = make_trial(0.5, design=rng.choice(["none", "se"]), number=number, replicate=replicate)
        state, ends = rng.choice(list(State)), datetime(2026, 1, 1, minute=rng.randrange(20))
        failure = Failure(kind=FailureKind.NAN, reason="") if state is State.FAILED else None
        history = trial.history[:1] * rng.randrange(5)
        tally[number] = trial = replace(trial, state=state, finished=ends, failure=failure, history=history)
        longest = max(longest, len(history)) if state is State.COMPLETE else longest
        there = [tally[number] for number in sorted(tally)]
        assert tally.trained == sum(it.counts for it in tally.values())
        assert tally.running == {n: it for n, it in tally.items() if it.state is State.RUNNING}
        assert tally.running_again == sum(it.job.replicate > 0 for it in tally.running.values())
        assert tally.in_order() == there
        complete = [it for it in there if it.state is State.COMPLETE]
        assert tally.complete == sorted(complete, key=lambda it: (it.finished, it.number))
        assert tally.longest == longest
        ended = [it for it in there if it.state is not State.RUNNING]
        assert tally.epochs == sum(len(it.history) for it in ended)
        assert tally.epochs_again == sum(len(it.history) for it in ended if it.job.replicate)
        begun = [it for it in there if it.state in (State.RUNNING, State.COMPLETE)]
        for candidate in {it.job.candidate for it in there}:
            of_design = [it.job.replicate for it in begun if it.job.candidate == candidate]
            assert sorted(tally.begun[candidate]) == sorted(of_design)
        failed = {it.number: it for it in there if it.job.replicate and it.failure is not None}
        assert tally.failed_again == failed
