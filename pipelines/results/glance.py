"""A result at a glance: what lists of runs show of it."""

from pipelines.terminal.formats import score_name
from search.objectives import Objectives
from space.cost import Costs


def figures(objectives: Objectives, score: float, gain: float | None, costs: Costs) -> dict[str, float]:
    """Score and gain on plain in percent, and the costs, rounded, under the names of `figure_names`."""
    values = [round(100 * score, 2), None if gain is None else round(100 * gain, 2)]
    values += [float(f"{value:.4g}") if value % 1 else value for value in (costs[it.key] for it in objectives.costs)]
    return {name: v for name, v in zip(figure_names(objectives), values, strict=True) if v is not None}


def figure_names(objectives: Objectives) -> tuple[str, ...]:
    """The score, its gain on plain, and the costs."""
    return score_name(objectives.metric), "gain", *(cost.key for cost in objectives.costs)
