"""A sampler for studies in which the first objective alone is uncertain, noisy and slow to learn.

The first objective is traded for each of the others: a front for each. What is tried next is what is expected to add
the most to the fronts, by a model of the first objective that pools all trials.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.candidates import Candidates, Places, agree
from search.ended import OfEnded
from search.expected_gain import expected_gain
from search.extrapolation import curves, learnt
from search.surrogate import Array, Encoding, Point, Surrogate
from search.trials import OUTCOME, VALUES
from search.unit_interval import all_or_some, field_of, value_at

AT_RANDOM = 5
"""Trials that are to be complete before anything is concluded from them."""
MOST = 1000
"""Designs, drawn from those there are, that are judged for a decision."""


class FrontSampler(BaseSampler):
    """Chooses whole designs by what they are expected to add to the fronts.

    With candidates no design is chosen twice while one is left that no trial has tried; what is left where a trial has
    been decided on in part agrees with that. Without, what is chosen has the parameters that all complete trials have,
    and the others are drawn at random.

    Args:
        candidates: what may be chosen, and the parameters of each, see `Candidates`; who makes many samplers for one
            search makes those once.
        costs: of each candidate the values of all objectives but the first; else they are foreseen by models, too.
        seed: of what is drawn. Everything else comes from the study.
        metric: what the first objective is called in the reports of epochs. With it, trials that were stopped at a rung
            tell what they are worth.
    """

    def __init__(
        self,
        candidates: Mapping[Any, Mapping[str, Any]] | None = None,
        costs: Mapping[Any, Sequence[float]] | None = None,
        seed: int | None = None,
        metric: str | None = None,
    ) -> None:
        self._metric = metric
        if candidates is not None and not isinstance(candidates, Candidates):
            candidates = Candidates(candidates)
        self._candidates = candidates
        self._costs = costs
        self._random = np.random.default_rng(seed)

    def reseed_rng(self) -> None:
        """Draw otherwise, in another process."""
        self._random = np.random.default_rng()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """What is decided together: what all complete trials have; with candidates all that any trial has."""
        if self._candidates is not None:
            if self._candidates.distributions:
                return dict(self._candidates.distributions)
            return {name: it for other in _others(study, trial) for name, it in other.distributions.items()}
        space = IntersectionSearchSpace().calculate(study)
        return {name: distribution for name, distribution in space.items() if not distribution.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The values of these parameters that are expected to add the most.

        With candidates, those of the best one; none if it has parameters that no trial had before, or if this trial has
        been decided on otherwise.
        """
        if not search_space:
            return {}
        if self._candidates is not None:
            decisions = self._decisions(study, trial, self._candidates, np.arange(len(self._candidates)))
            return dict(decisions) if decisions.keys() <= search_space.keys() and agree(decisions, trial.params) else {}
        options = list(all_or_some(search_space, MOST, self._random))

        def point(params: Mapping[str, Any]) -> Point:
            return {name: field_of(distribution, params[name]) for name, distribution in search_space.items()}

        others = [it for it in _others(study, trial) if search_space.keys() <= it.params.keys()]
        others = [it for it in others if _fits(it, search_space)]
        points = [point(it.params) for it in others]
        seen = {tuple(it.values()) for it in points}
        unseen = [option for option in options if tuple(point(option).values()) not in seen] or options

        def encoded() -> tuple[Array, Array]:
            left = [point(option) for option in unseen]
            encoding = Encoding([*left, *points])
            return encoding.rows(left), encoding.rows(points)

        return unseen[self._best(study, len(unseen), encoded, (), others)]

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """This parameter of the best candidate that agrees with what has been decided; else a random value."""
        if self._candidates is not None:
            decisions = self._decisions(study, trial, self._candidates, self._candidates.agreeing(trial.params))
            if param_name in decisions:
                return decisions[param_name]
        return value_at(param_distribution, self._random.random())

    def _decisions(self, study: Study, trial: FrozenTrial, candidates: Candidates, among: Places) -> Mapping[str, Any]:
        """Those of the best candidate in some places, one that has not been tried if there is one left."""
        others = _others(study, trial)
        places = candidates.places(study, others)
        tried = np.zeros(len(candidates) + 1, bool)  # the last one is for what is outside
        alive = tried.copy()
        tried[places] = True
        alive[places[_states(others) != TrialState.FAIL]] = True
        for some in (among[~tried[among]], among[~alive[among]], among):
            if len(left := candidates.drawn(some, MOST, self._random)):
                break
        else:
            return {}
        chosen = [candidates.at(place) for place in left]
        encoded = functools.partial(candidates.encoded, left, others, places)
        return candidates[chosen[self._best(study, len(chosen), encoded, chosen, others)]]

    def _best(
        self,
        study: Study,
        count: int,
        encoded: Callable[[], tuple[Array, Array]],
        candidates: Sequence[Any],
        trials: Sequence[FrozenTrial],
    ) -> int:
        """Which of n options is expected to add the most; a random one as long as little is known.

        Args:
            study: that this is for.
            count: of the options.
            encoded: gives their rows (n, F), and those (k, F) of the trials; the first trials need none.
            candidates: what the options are, if their costs are known.
            trials: that something has been decided for.
        """
        values = _VALUES(study, trials)
        complete = [place for place, it in enumerate(values) if it]
        if count == 1:
            return 0
        if len(complete) < AT_RANDOM:
            return int(self._random.integers(count))
        rows, tried = encoded()
        states = _states(trials)
        pending = np.flatnonzero(states == TrialState.RUNNING)
        pruned = np.flatnonzero(states == TrialState.PRUNED).tolist()
        stopped = [place for place in pruned if self._history(trials[place])]
        known, told = tried[complete], tried[complete + stopped]
        signs = np.array([1.0 if it is StudyDirection.MAXIMIZE else -1.0 for it in study.directions])
        reached = signs * np.array([values[place] for place in complete])
        if self._costs is None:
            foreseen = [Surrogate.fit(known, column).expected(rows) for column in reached.T[1:]]
            better = np.array(foreseen).T.reshape(count, -1)
        else:  # asked for here, since to count those of a thousand designs takes seconds
            better = signs[1:] * np.array([self._costs[candidate] for candidate in candidates])
        scaled = _scaled(np.concatenate([better, reached[:, 1:]]))
        ends = np.append(reached[:, 0], np.full(len(stopped), np.nan))
        histories = [self._history(trials[place]) if stopped else () for place in complete + stopped]
        model = learnt(told, signs[0] * curves(histories, signs[0] * ends))
        expected = model.expected(known)
        if len(pending):
            model = model.believing(tried[pending])
        means, deviations = model.predict(rows)
        gains = expected_gain(means, deviations, scaled[:count], expected, scaled[count:])
        return int(np.argmax(gains))

    def _history(self, trial: FrozenTrial) -> Sequence[float | None]:
        """The first objective, epoch by epoch; none where nobody wrote it down."""
        told: Sequence[float | None] = trial.user_attrs.get(OUTCOME, {}).get("history", {}).get(self._metric, ())
        return told


def _values(trial: FrozenTrial) -> Sequence[float]:
    """A trial's objectives, a replicate's, too; none if it has not come to any that are finite."""
    complete = trial.state is TrialState.COMPLETE
    told: Sequence[float] = trial.values if complete else trial.user_attrs.get(OUTCOME, {}).get(VALUES, ())
    return told if all(map(math.isfinite, told)) else ()


_VALUES = OfEnded(_values)


def _states(trials: Sequence[FrozenTrial]) -> NDArray[np.int_]:
    return np.array([trial.state for trial in trials], int)


def _others(study: Study, trial: FrozenTrial) -> Sequence[FrozenTrial]:
    """The trials that something has been decided for, but this one."""
    number, waiting = trial.number, TrialState.WAITING  # to look it up for each of thousands takes long
    trials = study._get_trials(deepcopy=False, use_cache=True)  # as Optuna's own samplers do
    return [it for it in trials if it.number != number and it.state is not waiting]


def _fits(trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]) -> bool:
    return all(trial.distributions[name] == distribution for name, distribution in search_space.items())


def _scaled(better: Array) -> Array:
    """Costs (n, m), larger being better, as shares of the way from worst to best, by logarithms where none is 0."""
    columns = [np.sign(it) * np.log(np.abs(it)) if (it > 0).all() or (it < 0).all() else it for it in better.T]
    spans = [(column - column.min()) / (np.ptp(column) or 1.0) for column in columns]
    return np.array(spans).T.reshape(better.shape)
