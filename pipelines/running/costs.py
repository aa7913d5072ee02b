"""The costs of all designs of a study, known before anything is trained, and what the limits leave of them."""

import functools
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from pipelines.terminal.console import say, stderr
from pipelines.terminal.formats import show_duration
from search.engine import Engine
from space.choices import Candidate
from space.cost import Costs, Limit, within
from space.errors import UserError, first_line
from space.lazily import Lazily
from space.user_code import UserCode, call_with
from trainers.costs import COSTS, Cost, MeasuredCost
from trainers.deployment import Deployment
from trainers.device_file import DeviceFile
from trainers.task import Task

MEASURED = "measured:"
"""With a cost's name behind it: the attribute of a study with what was measured of that cost."""

ENOUGH = 500
"""Designs whose costs say how far costs reach."""

Prepared = Mapping[str, Cost]
"""Costs by name, ready to be asked for designs."""


def prepare(
    names: Iterable[str],
    candidates: Sequence[Candidate],
    task: Task,
    deployment: Deployment,
    engine: Engine,
    code: tuple[UserCode, ...] = (),
    stored: Mapping[str, Any] | None = None,
) -> Prepared:
    """These costs, ready for these designs; measured where trials run, while nothing else does, if they are to be.

    Args:
        names: of the costs.
        candidates: designs.
        task: what the networks are for.
        deployment: how networks run once they are trained.
        engine: where trials run.
        code: of the user, that the designs need.
        stored: attributes of a study, with what was measured before.
    """
    found = {}
    for name in dict.fromkeys(names):
        cost = COSTS[name](task, deployment)
        restore(cost, stored or {})
        if not isinstance(cost, MeasuredCost):
            cost.prepare(candidates)
        elif cost.has(candidates):
            pass
        elif deployment.file is not None:
            _take_from(deployment.file, cost, candidates)
        else:
            started = time.monotonic()
            with stderr.status(f"measuring {cost.quantity.words}"):
                ready = functools.partial(_prepared, cost, candidates)
                cost = engine.alone(functools.partial(call_with, code, ready))
            under = ", ".join(f"{what} {value}" for what, value in cost.conditions.items())
            say(f"{cost.quantity.words}: measured in {show_duration(time.monotonic() - started)} ({under})")
        found[name] = cost
    return found


def _take_from(path: Path, cost: MeasuredCost, candidates: Sequence[Candidate]) -> None:
    name = cost.quantity.name
    table = DeviceFile.read(path).costs.get(name)
    if table is None:
        raise UserError(f"{path} has no {name}; search calibrate --costs {name} measures it")
    cost.restore(dict(table))
    if not cost.has(candidates):
        raise UserError(
            f"{path} lacks gates or networks that are wanted here; search calibrate --space and --backbone name them"
        )


def restore(cost: Cost, attributes: Mapping[str, Any]) -> None:
    """Give a cost what a study keeps of it."""
    table = attributes.get(f"{MEASURED}{cost.quantity.name}")
    if table is not None and isinstance(cost, MeasuredCost):
        cost.restore(table)


def to_keep(prepared: Prepared) -> dict[str, Any]:
    """What was measured, as attributes of a study."""
    measured = {name: cost for name, cost in prepared.items() if isinstance(cost, MeasuredCost)}
    return {f"{MEASURED}{name}": cost.to_json() for name, cost in measured.items()}


def keep(prepared: Prepared, attributes: Mapping[str, Any], annotate: Callable[[str, Any], None]) -> None:
    """Have a study keep what was measured, but for what it has: maybe of another process, just now.

    Args:
        prepared: costs.
        attributes: of the study.
        annotate: stores another one.
    """
    for cost in prepared.values():
        restore(cost, attributes)  # a design keeps its costs
    for attribute, table in to_keep(prepared).items():
        if attributes.get(attribute) != table:
            annotate(attribute, table)


def costs_of(candidates: Iterable[Candidate], prepared: Prepared) -> Mapping[Candidate, Costs]:
    """What each design costs, each cost found when first asked for.

    Of other designs, too, if nothing is left to measure for them.
    """
    known = dict.fromkeys(candidates)
    measured = [cost for cost in prepared.values() if isinstance(cost, MeasuredCost)]
    by_key = {cost.quantity.key: cost for cost in prepared.values()}

    def of(candidate: Candidate) -> Costs:
        if candidate not in known and not all(cost.has([candidate]) for cost in measured):
            raise KeyError(candidate)
        return Lazily(by_key, lambda key: by_key[key].value(*candidate))

    return Lazily(known, of)


def some_allowed(costs: Mapping[Candidate, Costs], limits: Sequence[Limit]) -> list[Costs]:
    """What designs cost that all limits allow, the first design if they do; of many some at random."""
    first, *others = costs
    random.Random(0).shuffle(others)
    return list(islice((costs[it] for it in [first, *others] if within(costs[it], limits)), ENOUGH))


def feasible(
    costs: Mapping[Candidate, Costs], limits: Sequence[Limit], among: Iterable[Candidate] | None = None
) -> dict[Candidate, Costs]:
    """The designs that all limits allow, among some or all of them."""
    return {it: costs[it] for it in (costs if among is None else among) if within(costs[it], limits)}


def check_limits(costs: Mapping[Candidate, Costs], limits: Sequence[Limit]) -> None:
    """Make sure that the limits leave something.

    Raises:
        UserError: a limit that no design meets, or limits that none meets together.
    """
    if any(within(costs[candidate], limits) for candidate in costs):
        return
    for limit in limits:
        quantity = limit.quantity
        best, cost = max(costs.items(), key=lambda item: quantity.sign * item[1][quantity.key])
        if not limit.allows(cost):
            raise UserError(
                f"no design meets {limit.typed}; the best of {len(costs):,} has {quantity.show(cost[quantity.key])} "
                f"{quantity.words} ({best[1]})"
            )
    raise UserError(f"no design meets {' and '.join(limit.typed for limit in limits)} together")


def _prepared(cost: MeasuredCost, candidates: Sequence[Candidate]) -> MeasuredCost:
    try:
        cost.prepare(candidates)
    except UserError:
        raise
    except Exception as error:  # a plug-in's
        name = cost.quantity.name
        raise UserError(f"cost {name!r} raises {type(error).__name__}: {first_line(error)}") from error
    return cost
