"""What a user types of objectives and limits: accuracy,params,fps and fps>=5k."""

import re
from collections.abc import Sequence

from pipelines.terminal.formats import parse_count
from space.cost import Limit
from space.errors import UserError
from trainers.costs import COSTS
from trainers.costs.cost import find_cost
from trainers.metrics import METRICS


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


def parse_limit(text: str, flag: str = "--limit") -> Limit:
    """fps>=5k or params<=1.5M.

    Raises:
        UserError: another form, no such cost, or a bound on the wrong side.
    """
    match = re.fullmatch(r"\s*(\w+)\s*(<=|>=)\s*(\S+)\s*", text)
    if match is None:
        raise UserError(f"{flag} {text}: a limit such as 'fps>=5k' or 'params<=1.5M' is wanted, in quotes")
    quantity = find_cost(match[1]).quantity
    sides = {"less": "<=", "more": ">="}
    if match[2] != sides[quantity.better]:
        raise UserError(
            f"{flag} {text}: {quantity.better} {quantity.words} are better; "
            f"a limit is '{quantity.name}{sides[quantity.better]}{match[3]}'"
        )
    return Limit(quantity, parse_count(match[3], f"{flag} {text}:"), f"{flag} {text}")


def limits_typed(limits: Sequence[str], max_params: str | None, min_fps: str | None) -> tuple[Limit, ...]:
    """All limits; two options are short for one each."""
    found = [parse_limit(text) for text in limits]
    for flag, name, typed in (("--max-params", "params", max_params), ("--min-fps", "fps", min_fps)):
        if typed is not None:
            found.append(Limit(find_cost(name).quantity, parse_count(typed, flag), f"{flag} {typed}"))
    return tuple(found)
