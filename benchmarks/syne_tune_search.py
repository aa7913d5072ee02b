"""A search by Syne Tune on curves, for benchmarks/search.py; run by the Python of an environment that has Syne Tune.

Reads a problem as JSON from stdin, and writes what was trained, [[design, epochs], ...] in order, to stdout.
"""

import json
import logging
import random
import sys
from datetime import datetime
from typing import Any

import numpy as np
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import choice
from syne_tune.optimizer.scheduler import SchedulerDecision
from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA
from syne_tune.optimizer.schedulers.multiobjective.multi_objective_regularized_evolution import (
    MultiObjectiveRegularizedEvolution,
)
from syne_tune.optimizer.schedulers.single_fidelity_scheduler import SingleFidelityScheduler

POPULATION, SAMPLE = 20, 5
"""Its defaults, 100 and 10, would make it a random search over 100 trainings."""
EARLIEST, FACTOR = 5, 2
"""The first epoch after which MOASHA stops, and how many go on."""


def search(problem: dict[str, Any]) -> list[tuple[int, int]]:
    """Which designs were trained, and for how many epochs."""
    random.seed(problem["seed"])
    np.random.seed(problem["seed"] % 2**32)
    decisions, curves, costs = problem["decisions"], problem["curves"], problem["costs"]
    whole = len(curves[0])
    config_space = {name: choice(options) for name, options in problem["choices"].items()}
    metrics = ["error", *(f"cost{place}" for place in range(len(costs[0])))]
    if problem["method"] == "moasha":
        scheduler = MOASHA(
            config_space,
            metrics,
            time_attr="epoch",
            max_t=whole,
            grace_period=EARLIEST,
            reduction_factor=FACTOR,
            random_seed=problem["seed"] % 2**32,
        )
    else:
        searcher = MultiObjectiveRegularizedEvolution(
            config_space, population_size=POPULATION, sample_size=SAMPLE, random_seed=problem["seed"] % 2**32
        )
        scheduler = SingleFidelityScheduler(config_space, metrics, searcher=searcher)
    trained: list[tuple[int, int]] = [(0, whole)]  # the plain network
    unseen = set(range(1, len(decisions)))
    left = problem["epochs"] - whole
    while unseen and left > 0:
        config = scheduler.suggest().config
        index = min(unseen, key=lambda one: (distance(config, decisions[one]), random.random()))
        unseen.discard(index)
        config = {**config, **decisions[index]}
        trial = Trial(trial_id=len(trained), config=config, creation_time=datetime.now())
        scheduler.on_trial_add(trial)
        epochs = 0
        for epochs in range(1, min(whole, left) + 1):
            values = [1.0 - curves[index][epochs - 1], *costs[index]]
            if not np.isfinite(values[0]):
                break
            result = {"epoch": epochs, **dict(zip(metrics, values, strict=True))}
            if epochs == whole:
                scheduler.on_trial_complete(trial, result)
            elif problem["method"] == "moasha" and scheduler.on_trial_result(trial, result) == SchedulerDecision.STOP:
                break
        left -= epochs
        trained.append((index, epochs))
    return trained


def distance(config: dict[str, Any], decisions: dict[str, Any]) -> int:
    """How many decisions of a design a configuration made otherwise: 0 for the design that it means."""
    return sum(config[name] != value for name, value in decisions.items())


if __name__ == "__main__":
    logging.disable()
    print(json.dumps(search(json.load(sys.stdin))))
