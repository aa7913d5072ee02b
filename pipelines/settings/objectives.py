"""What a search trades and what limits it, from what a user typed and from what a study keeps.

A study keeps the names: the metric of the split that it selects by, and the costs, such as val_accuracy, params, fps.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.settings.format import check_format
from search.objectives import Objectives
from trainers.costs.cost import find_cost

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
