"""What a design costs: named quantities that are known before anything is trained."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Costs: TypeAlias = Mapping[str, float]
"""What a design costs in a backbone, by the key of each quantity."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """Something that designs have more or less of.

    Attributes:
        name: what people type.
        key: its name in JSON, in the ledger and among MLflow's metrics.
        words: what is counted, such as parameters.
        unit: of its numbers, such as ms; empty for those that are counted.
        column: head of a table's column.
        better: whether less or more of it is better.
        against_plain: how it is set against the plain network's: by what is added, or by its share of that.
    """

    name: str
    key: str
    words: str
    unit: str = ""
    column: str
    better: Literal["less", "more"]
    against_plain: Literal["added", "share"]

    @property
    def sign(self) -> int:
        """Times a value it is better when larger."""
        return 1 if self.better == "more" else -1

    @property
    def label(self) -> str:
        """What is counted, with its unit."""
        return f"{self.words}, {self.unit}" if self.unit else self.words

    @property
    def head(self) -> str:
        """Of a table's column, with its unit."""
        return f"{self.column}, {self.unit}" if self.unit else self.column

    def show(self, value: float) -> str:
        """For tables: whole numbers, and of small ones some digits."""
        return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


@dataclass(frozen=True)
class Limit:
    """How much of a quantity a design may have at most, or must have at least, where more is better.

    Attributes:
        quantity: that is limited.
        bound: that is still allowed.
        typed: what the user wrote.
    """

    quantity: Quantity
    bound: float
    typed: str = ""

    def allows(self, costs: Costs) -> bool:
        """Whether a design of these costs may be trained."""
        return self.quantity.sign * (costs[self.quantity.key] - self.bound) >= 0


def within(costs: Costs, limits: Iterable[Limit]) -> bool:
    """Whether all limits allow these costs."""
    return all(limit.allows(costs) for limit in limits)
