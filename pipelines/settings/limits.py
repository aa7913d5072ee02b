"""The limits that a user types, such as fps>=5k."""

import re
from collections.abc import Sequence

from pipelines.terminal.formats import parse_count, parse_number
from space.cost import Limit
from space.errors import UserError
from trainers.costs.cost import find_cost


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
            f"{flag} {text}: {quantity.better} of {quantity.name} is better; "
            f"a limit is '{quantity.name}{sides[quantity.better]}{match[3]}'"
        )
    return Limit(quantity, parse_number(match[3], f"{flag} {text}"), f"{flag} {text}")


def limits_typed(limits: Sequence[str], max_params: str | None, min_fps: str | None) -> tuple[Limit, ...]:
    """All limits; two options are short for one each."""
    found = [parse_limit(text) for text in limits]
    for flag, name, typed in (("--max-params", "params", max_params), ("--min-fps", "fps", min_fps)):
        if typed is not None:
            found.append(Limit(find_cost(name).quantity, parse_count(typed, flag), f"{flag} {typed}"))
    return tuple(found)
