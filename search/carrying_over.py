"""Carrying trainings of one search over into another, where they would be the same trainings."""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import TrialState, create_trial

from search.objectives import Objectives
from search.trials import JOB, ORIGIN, OUTCOME, VALUES, Job, State, Trial, pack_history
from space.choices import Candidate, SearchSpace
from space.cost import Costs
from space.declarations import Value


def carry_over(
    study: optuna.Study,
    there: Sequence[Trial],
    trials: Sequence[Trial],
    origin: str,
    *,
    space: SearchSpace,
    costs: Mapping[Candidate, Costs],
    objectives: Objectives,
    fill: bool = False,
) -> int:
    """Write the complete trainings of another study as trials of this one, with their history; returns how many.

    They are what this study would have trained, and count as if it had. What it has already is left out.

    Args:
        study: to be written, under its lock.
        there: its trials so far.
        trials: of the other study, of the same trainings.
        origin: name of the other study.
        space: that is searched here.
        costs: of the designs that may be trained here; others are left out.
        objectives: of this study.
        fill: whether a trial is to have decided on choices that it makes idle, too, as some samplers want.
    """
    had = {(t.job.candidate, t.job.replicate) for t in there if t.state in (State.COMPLETE, State.RUNNING)}
    complete = {(t.job.candidate, t.job.replicate): t for t in trials if t.state is State.COMPLETE}
    carried = {
        key: trial
        for key, trial in complete.items()
        if key not in had and trial.job.candidate in costs and {(key[0], 0)} & (had | complete.keys())
    }
    for trial in carried.values():
        job = Job(
            backbone=trial.job.backbone,
            design=trial.job.design,
            seed=trial.job.seed,
            costs=costs[trial.job.candidate],
            replicate=trial.job.replicate,
        )
        values = list(objectives.values(job, trial.last))
        outcome: dict[str, Any] = {
            "state": State.COMPLETE.value,
            "history": pack_history(trial.history),
            "worker": trial.worker,
            ORIGIN: trial.origin or origin,
        }
        again = job.replicate > 0  # samplers do not see it, as the ledger has it
        params, distributions = ({}, {}) if again else _decided(space, job.candidate, fill)
        study.add_trial(
            create_trial(
                state=TrialState.FAIL if again else TrialState.COMPLETE,
                values=None if again else values,
                params=params,
                distributions=distributions,
                user_attrs={JOB: job.to_json(), OUTCOME: {**outcome, **({VALUES: values} if again else {})}},
            )
        )
    return len(carried)


def _decided(
    space: SearchSpace, candidate: Candidate, fill: bool
) -> tuple[dict[str, Value], dict[str, BaseDistribution]]:
    """The decisions that lead to a design, and among what; none where the space leaves it out."""
    choices = space.choices()
    idle = {name: options[0] for name, options in choices.items()} if fill else {}
    params = {**idle, **(space.leading_to(candidate) or {})}
    return params, {name: CategoricalDistribution(choices[name]) for name in params}
