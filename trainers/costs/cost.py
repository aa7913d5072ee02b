"""What a cost is: a named quantity, and how it is known of every design before anything is trained."""

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from space.choices import Candidate
from space.cost import Quantity
from space.design import Design
from space.errors import UserError
from space.registry import Registry
from trainers.task import Task

if TYPE_CHECKING:
    from torch import nn


class Cost(ABC):
    """A cost of designs in their backbones, for networks of one task on one device.

    A class says by its attributes what the quantity is, and is registered under its name.

    Args:
        task: what the networks are for.
        device: cpu or cuda.
    """

    key: ClassVar[str] = ""
    """In JSON and MLflow; the name, if it is empty."""
    words: ClassVar[str] = ""
    """What is counted; the name, if it is empty."""
    column: ClassVar[str] = ""
    """Head of a table's column; the name, if it is empty."""
    better: ClassVar[Literal["less", "more"]] = "less"
    against_plain: ClassVar[Literal["added", "share"]] = "share"
    measured: ClassVar[bool] = False
    """Whether it is measured: once, on the device of the trials while that is idle, and kept with the study."""
    quantity: ClassVar[Quantity]
    """All of these, once it is registered."""

    def __init__(self, task: Task, device: str) -> None:
        self.task = task
        self.device = device

    def has(self, candidates: Sequence[Candidate]) -> bool:
        """Whether there is nothing to prepare for these designs."""
        return not self.measured

    def prepare(self, candidates: Sequence[Candidate]) -> None:
        """Find out at once what `of` needs for these designs, unless it `has` that."""
        raise NotImplementedError

    @abstractmethod
    def of(self, backbone: str, design: Design) -> float:
        """What this design costs in this backbone."""

    def of_network(self, network: "nn.Module") -> float:
        """The same of a network as a whole, if it is measured."""
        raise NotImplementedError

    @property
    def conditions(self) -> Mapping[str, Any]:
        """What it was measured under: it means nothing without."""
        return {}

    def to_json(self) -> dict[str, Any]:
        """What was measured, for the study."""
        return {}

    def restore(self, table: dict[str, Any]) -> None:
        """Take over what `to_json` described, in the place of what was measured since."""
        raise NotImplementedError


def _admit(name: str, cost: type[Cost]) -> type[Cost]:
    if not (inspect.isclass(cost) and issubclass(cost, Cost)):
        raise UserError(f"cost {name!r}: what is registered is a class derived from Cost")
    if inspect.isabstract(cost):
        raise UserError(f"cost {name!r}: {cost.__name__} lacks {', '.join(sorted(cost.__abstractmethods__))}")
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
        raise UserError(f"cost {name!r}: a name is a letter, then letters, digits and _")
    key = cost.key or name
    if key in ("backbone", "design", "seed", "replicate") or key in (other.quantity.key for other in COSTS.values()):
        raise UserError(f"cost {name!r}: the key {key!r} means something else already")
    cost.quantity = Quantity(
        name=name,
        key=key,
        words=cost.words or name,
        column=cost.column or name,
        better=cost.better,
        against_plain=cost.against_plain,
    )
    return cost


COSTS: Registry[type[Cost]] = Registry("cost", {}, _admit)
"""The costs by name, as in --objectives and --limit."""


def find_cost(name: str) -> type[Cost]:
    """The cost of this name.

    Raises:
        UserError: there is none.
    """
    if name not in COSTS:
        raise UserError(f"no cost {name!r}; there are {', '.join(COSTS)}; a plug-in's needs --plugin FILE.py")
    return COSTS[name]
