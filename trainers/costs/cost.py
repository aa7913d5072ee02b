"""What a cost is: a named quantity, and how it is known of every design before anything is trained."""

import inspect
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from space.choices import Candidate
from space.cost import Quantity
from space.design import Design
from space.errors import UserError, first_line
from space.registry import Registry
from trainers.metrics import METRICS
from trainers.task import Task

if TYPE_CHECKING:
    from torch import nn

    from trainers.deployment import Deployment

RESERVED = {"trial", "trials", "backbone", "design", "seed", "replicate", "attention", "study", "state", "epoch", "row"}
RESERVED |= {"score", "gain", "n", "low", "high", "p_better", "p_front", "verdict", "by_seed", "paired_difference"}
RESERVED |= {"mlflow_run_id", "hypervolume", "seconds", "epochs_trained", "startup_seconds", "overhead_seconds", "time"}
RESERVED |= {"trained_on"}
"""What results say beside costs."""
PREFIXES = ("train_", "val_", "test_", "relative_", "front_")


class Cost(ABC):
    """A cost of designs in their backbones, for networks of one task.

    A class says by its attributes what the quantity is, and is registered under its name.

    Args:
        task: what the networks are for.
        deployment: how networks run once they are trained.
    """

    key: ClassVar[str] = ""
    """In JSON and MLflow; the name, if it is empty."""
    words: ClassVar[str] = ""
    """What is counted; the name, if it is empty."""
    unit: ClassVar[str] = ""
    """Of its numbers, such as ms; empty for those that are counted."""
    column: ClassVar[str] = ""
    """Head of a table's column; the name, if it is empty."""
    better: ClassVar[Literal["less", "more"]] = "less"
    against_plain: ClassVar[Literal["added", "share"]] = "share"
    quantity: ClassVar[Quantity]
    """All of these, once it is registered."""

    def __init__(self, task: Task, deployment: "Deployment") -> None:
        self.task = task
        self.deployment = deployment

    def prepare(self, candidates: Sequence[Candidate]) -> None:  # noqa: B027  # most need not
        """Find out at once what `of` needs for these designs."""

    @abstractmethod
    def of(self, backbone: str, design: Design) -> float:
        """What this design costs in this backbone, which was prepared."""

    def value(self, backbone: str, design: Design) -> float:
        """The same, whatever a plug-in's code does; an int where it is a whole number by type.

        Raises:
            UserError: something is raised, or what is returned is no finite number.
        """
        try:
            found = self.of(backbone, design)
            value = int(found) if hasattr(found, "__index__") else float(found)
        except UserError:
            raise
        except Exception as error:
            name = self.quantity.name
            raise UserError(f"cost {name!r} of {design} raises {type(error).__name__}: {first_line(error)}") from error
        if not math.isfinite(value):
            raise UserError(f"cost {self.quantity.name!r} of {design} is {value}; a finite number is wanted")
        return value


class MeasuredCost(Cost):
    """A cost that is measured: once, on the device of the trials while that is idle, and kept with the study."""

    @abstractmethod
    def has(self, candidates: Sequence[Candidate]) -> bool:
        """Whether nothing is left to measure for these designs."""

    @abstractmethod
    def prepare(self, candidates: Sequence[Candidate]) -> None:
        """Measure what is left of these designs."""

    @abstractmethod
    def of_networks(self, networks: "Mapping[str, nn.Module]") -> dict[str, float]:
        """The costs of networks, by any names, each measured as a whole."""

    @property
    @abstractmethod
    def conditions(self) -> Mapping[str, Any]:
        """What it was measured under: it means nothing without."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """What was measured, for the study."""

    @abstractmethod
    def restore(self, table: dict[str, Any]) -> None:
        """Take over what `to_json` described, in the place of what was measured since."""


def _admit(name: str, cost: type[Cost]) -> type[Cost]:
    if not (inspect.isclass(cost) and issubclass(cost, Cost)):
        raise UserError(f"cost {name!r}: what is registered is a class derived from Cost or MeasuredCost")
    if inspect.isabstract(cost):
        raise UserError(f"cost {name!r}: {cost.__name__} lacks {', '.join(sorted(cost.__abstractmethods__))}")
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
        raise UserError(f"cost {name!r}: a name is a letter, then letters, digits and _")
    key = cost.key or name
    taken = {*RESERVED, *METRICS, *(word for it in COSTS.values() for word in (it.quantity.key, it.quantity.name))}
    for word in (name, key):
        if word in taken or word.startswith(PREFIXES):
            raise UserError(f"cost {name!r}: {word!r} means something else already; give it another name")
    cost.quantity = Quantity(
        name=name,
        key=key,
        words=cost.words or name,
        unit=cost.unit,
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
