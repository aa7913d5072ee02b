"""What a search trades, from what a user typed and from what a study keeps.

A study keeps the names: the metric of the split that it selects by, and the costs, such as val_accuracy, params, fps.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.settings.format import check_format
from search.objectives import Objectives
from space.errors import UserError
from trainers.costs import COSTS
from trainers.costs.cost import find_cost
from trainers.metrics import METRICS

DEFAULT_COSTS = ("params", "fps")


def objectives_named(names: Sequence[str]) -> Objectives:
    """The objectives that a study keeps by these names, the metric first.

    Raises:
        UserError: a cost of a plug-in that is not loaded.
    """
    return Objectives(metric=names[0], costs=tuple(find_cost(name).quantity for name in names[1:]))


def objectives_of(attributes: Mapping[str, Any]) -> Objectives:
    """Those of a study, from its attributes."""
    check_format(attributes["settings"])
    return objectives_named(attributes["settings"]["objectives"])


def parse_objectives(text: str | None, metric: str | None) -> tuple[str | None, tuple[str, ...] | None]:
    """The metric and the costs of a list such as accuracy,params,fps; None for what it does not say.

    Args:
        text: the list, as typed.
        metric: as typed elsewhere.

    Raises:
        UserError: something that is neither a metric nor a cost, two metrics, or no cost.
    """
    if text is None:
        return metric, None
    names = [name.strip() for name in text.split(",") if name.strip()]
    metrics = list(dict.fromkeys([*([metric] if metric else []), *(name for name in names if name in METRICS)]))
    costs = tuple(name for name in names if name not in METRICS)
    if unknown := [name for name in costs if name not in COSTS]:
        known = ", ".join([*METRICS, *COSTS])
        raise UserError(
            f"--objectives {text}: no {unknown[0]!r}; there are {known}; a plug-in's needs --plugin FILE.py"
        )
    if len(metrics) > 1:
        raise UserError(f"--objectives {text}: one metric is wanted, and these are {' and '.join(metrics)}")
    if not costs or len(set(names)) != len(names):
        raise UserError(f"--objectives {text}: a metric, if it is not accuracy, and one cost or several, each once")
    return (metrics[0] if metrics else None), costs
