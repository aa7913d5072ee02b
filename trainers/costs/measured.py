"""Costs that are measured part by part."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from space.choices import Candidate
from trainers.costs.cost import MeasuredCost

if TYPE_CHECKING:
    from torch import nn

    from trainers.measuring.meter import Meter
    from trainers.measuring.parts import Conditions, Parts


class CostOfParts(MeasuredCost):
    """A cost that the parts of a network tell: see `trainers.measuring.parts`."""

    parts: "Parts | None" = None
    """What was measured."""

    @property
    @abstractmethod
    def batch(self) -> int:
        """Images a forward pass."""

    @property
    @abstractmethod
    def meter(self) -> "Meter[Any]":
        """What it is measured with."""

    def has(self, candidates: Sequence[Candidate]) -> bool:
        """Whether all parts of these designs are measured."""
        return self.parts is not None and self.parts.has(candidates, self.task)

    def prepare(self, candidates: Sequence[Candidate]) -> None:
        """Measure what is not measured yet of the parts of these designs."""
        from trainers.measuring.parts import Parts, measure

        known = self.parts or Parts(self._here)
        self.parts = measure(candidates, self.task, known, self.meter)

    def read(self, networks: "Mapping[str, nn.Module]") -> dict[str, float]:
        """What the meter reads of whole networks, in turns."""
        from trainers.measuring.parts import measure_networks

        found = measure_networks(networks, self.task, self.batch, self.meter)
        return {name: figure.value for name, figure in found.items()}

    @property
    def conditions(self) -> Mapping[str, Any]:
        """Device, form, type, batch, threads."""
        return asdict(self.parts.conditions if self.parts else self._here)

    def to_json(self) -> dict[str, Any]:
        """The figures."""
        return {} if self.parts is None else self.parts.to_json()

    def restore(self, table: dict[str, Any]) -> None:
        """Take over other figures."""
        from trainers.measuring.parts import Parts

        there = Parts.from_json(table)
        self.parts = there if self.parts is None else self.parts.completed_by(there)

    @property
    def _here(self) -> "Conditions":
        from trainers.measuring.parts import Conditions

        return Conditions.of(self.deployment, self.batch)
