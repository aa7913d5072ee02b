"""Costs that are seconds of a forward pass, measured part by part and predicted for every design."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from space.design import Design
from trainers.costs.measured import CostOfParts

if TYPE_CHECKING:
    from torch import nn

    from trainers.measuring.meter import Meter


class Timed(CostOfParts):
    """The seconds of the plain network, and what each gate adds to its block.

    What is added is told in steps of its spread, so that differences which were not measured are none.
    """

    @property
    def meter(self) -> "Meter[Any]":
        """A clock."""
        from trainers.measuring.meter import Clock

        return Clock(self.deployment)

    @abstractmethod
    def told(self, seconds: float) -> float:
        """The cost, from the seconds of a forward pass."""

    def of_networks(self, networks: "Mapping[str, nn.Module]") -> dict[str, float]:
        """Of networks that are measured as a whole, in turns."""
        return {name: self.told(seconds) for name, seconds in self.read(networks).items()}

    def of(self, backbone: str, design: Design) -> float:
        """Of the network that this design builds, which was prepared."""
        assert self.parts is not None
        added = sum(blocks * it.value for blocks, it in self.parts.of_design(design, backbone, self.task))
        step = self.parts.step(backbone, self.task)
        return self.told(self.parts.plain[backbone].value + (round(added / step) * step if step else added))
