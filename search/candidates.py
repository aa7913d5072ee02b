"""What a sampler may choose, as rows of numbers that are made once for all decisions of a search."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.ended import OfEnded
from search.surrogate import Array, Encoding, Point
from search.trials import JOB
from space.design import Design

Places = NDArray[np.intp]
OUTSIDE = -1


class Candidates(Mapping[Any, Mapping[str, Any]]):
    """What may be chosen, each in its place, and the parameters of each.

    Args:
        params: of each candidate. Parameters `a.x` and `b.x` are the same field x, of alternatives a and b.
        distributions: of the parameters, if they are known before a trial has them.
        allowed: whether one may be chosen at all; asked of those alone that might be.
    """

    def __init__(
        self,
        params: Mapping[Any, Mapping[str, Any]],
        distributions: Mapping[str, BaseDistribution] | None = None,
        allowed: Callable[[Any], bool] | None = None,
    ) -> None:
        self.distributions = distributions or {}
        self._allowed = allowed
        self._params = params
        self._all = list(params)
        self._place_of = {candidate: place for place, candidate in enumerate(self._all)}
        self._place_of_job: dict[tuple[str, str], int] = {}
        self._places = OfEnded(self._place)

    def __getitem__(self, candidate: Any) -> Mapping[str, Any]:
        return self._params[candidate]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def at(self, place: int) -> Any:
        """The candidate in a place."""
        return self._all[place]

    def places(self, study: Study, trials: Sequence[FrozenTrial]) -> Places:
        """Those of what trials have tried, by their jobs or their parameters; `OUTSIDE` for what is no candidate."""
        return np.array(self._places(study, trials), np.intp)

    def drawn(self, places: Places, most: int, random: np.random.Generator) -> Places:
        """At most so many of these places, at random, whose candidates may be chosen; in their order."""
        if len(places) > most:
            places = random.permutation(places)
        may = (place for place in places.tolist() if self._allowed is None or self._allowed(self._all[place]))
        return np.sort(np.fromiter(islice(may, most), np.intp))

    def agreeing(self, params: Mapping[str, Any]) -> Places:
        """Places of those that have no other values than these."""
        return np.array([place for place, it in enumerate(self._params.values()) if agree(it, params)], np.intp)

    def encoded(self, places: Places, trials: Sequence[FrozenTrial], tried: Places) -> tuple[Array, Array]:
        """The candidates in some places as rows of numbers, and what trials have tried, in their `places`, likewise."""
        others = [_fields(trials[row].params) for row in np.flatnonzero(tried == OUTSIDE).tolist()]
        encoding = Encoding(others, self._encoding)
        rows = encoding.widened(self._rows[tried])
        rows[tried == OUTSIDE] = encoding.rows(others)
        return encoding.widened(self._rows[places]), rows

    def _place(self, trial: FrozenTrial) -> int:
        if JOB not in trial.user_attrs:
            return self._place_of_params.get(frozenset(trial.params.items()), OUTSIDE)
        job = trial.user_attrs[JOB]
        key = job["backbone"], job["design"]
        if key not in self._place_of_job:
            self._place_of_job[key] = self._place_of.get((key[0], Design.parse(key[1])), OUTSIDE)
        return self._place_of_job[key]

    @cached_property
    def _place_of_params(self) -> Mapping[Any, int]:
        return {frozenset(it.items()): place for place, it in enumerate(self._params.values())}

    @cached_property
    def _points(self) -> Sequence[Point]:
        return [_fields(it) for it in self._params.values()]

    @cached_property
    def _encoding(self) -> Encoding:
        return Encoding(self._points)

    @cached_property
    def _rows(self) -> Array:
        return self._encoding.rows(self._points)


def agree(params: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Whether two have the same values of what both have."""
    return all(others.get(name, value) == value for name, value in params.items())


def _fields(params: Mapping[str, Any]) -> Point:
    """What has been decided, as kinds: numbers, too."""
    return {name.rpartition(".")[2]: str(value) for name, value in params.items()}
