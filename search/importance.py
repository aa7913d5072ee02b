"""What a search has learnt of each choice: its effect on the metric, by the model that samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search.extrapolation import curves, learnt
from search.surrogate import Encoding, Point, Surrogate
from search.trials import State, Trial
from space.choices import Candidate
from space.stage_sets import ALL_STAGES

ATTENTION, BACKBONE, STAGES = "attention", "backbone", "stages"
QUANTILE = 1.96
"""Of the normal distribution, for intervals of 95 %."""
AVERAGED = 150
"""Designs that an effect is averaged over at most."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What a choice adds to the metric, with its 95 % interval.

    An attention is set against the plain network, on average over the designs that were trained; any other choice
    against the average of all values of its field, everything else being equal.

    Attributes:
        field: what is chosen, such as depth.
        value: such as 3.
        designs: that were trained with it.
        mean: of the effect.
        low: lower end of the interval.
        high: upper end.
    """

    field: str
    value: str
    designs: int
    mean: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval is all on one side of 0."""
        return self.low > 0 or self.high < 0


def effects(trials: Sequence[Trial], metric: str) -> list[Effect]:
    """Of every choice that trained designs differ in; the field with the largest effect comes first."""
    trained = [trial for trial in trials if trial.trained]
    points = [_fields(trial.job.candidate) for trial in trained]
    designs = [_fields(candidate) for candidate in dict.fromkeys(trial.job.candidate for trial in trained)]
    ends = np.array([trial.last[metric] if trial.state is State.COMPLETE else np.nan for trial in trained])
    if len(designs) < 2 or np.isnan(ends).all():
        return []
    encoding = Encoding(points)
    histories = [[report.get(metric) for report in trial.history] for trial in trained]
    model = learnt(encoding.rows(points), curves(histories, ends))
    by_field = [_of_field(name, designs, encoding, model) for name in encoding.names]
    by_field.sort(key=lambda found: -max((abs(effect.mean) for effect in found), default=0.0))
    return [effect for found in by_field for effect in sorted(found, key=lambda it: -it.mean)]


def _of_field(name: str, designs: Sequence[Point], encoding: Encoding, model: Surrogate) -> list[Effect]:
    """The effects of the values of a field, over the designs that have it; none where they all have the same."""
    having = [design for design in designs if name in design]
    groups = {value: [design for design in having if design[name] == value] for value in encoding.values(name)}
    if len(groups) < 2:
        return []
    if name == ATTENTION:
        averaged = {value: _some(group) for value, group in groups.items()}
        against = "none" if "none" in groups else None
    else:
        averaged = {value: [{**design, name: value} for design in _some(having)] for value in groups}
        against = None
    values = list(groups)
    sizes = [len(averaged[value]) for value in values]
    means = np.repeat(np.eye(len(values)) / sizes, sizes, axis=1)  # a row for each value: the average of its points
    weights = means - (means.mean(axis=0) if against is None else means[values.index(against)])
    expected, deviations = model.sums(encoding.rows([it for value in values for it in averaged[value]]), weights)
    return [
        Effect(
            field=name,
            value=str(value),
            designs=len(groups[value]),
            mean=float(mean),
            low=float(mean - QUANTILE * deviation),
            high=float(mean + QUANTILE * deviation),
        )
        for value, mean, deviation in zip(values, expected, deviations, strict=True)
        if value != against
    ]


def _fields(candidate: Candidate) -> Mapping[str, str]:
    backbone, design = candidate
    fields = {BACKBONE: backbone, ATTENTION: design.attention}
    if STAGES in design.declaration.choices:
        fields[STAGES] = ALL_STAGES  # unless it has others
    return fields | {name: str(value) for name, value in design.choices}


def _some(designs: Sequence[Point]) -> Sequence[Point]:
    """At most so many of them, evenly."""
    return designs[:: -(-len(designs) // AVERAGED)]
