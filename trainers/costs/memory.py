"""Memory at inference: of weights and feature maps, for one image."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from space.design import Design
from space.errors import UserError
from trainers.costs.cost import COSTS
from trainers.costs.measured import CostOfParts
from trainers.task import Task

if TYPE_CHECKING:
    from torch import nn

    from trainers.deployment import Deployment
    from trainers.measuring.meter import Meter

TORCHS = ("folded", "eager")
MEGABYTE = 1e6


@COSTS.register("memory")
class Memory(CostOfParts):
    """Megabytes that a network's parameters and, at the peak of a forward pass, its feature maps take."""

    unit = "MB"
    batch = 1

    def __init__(self, task: Task, deployment: "Deployment") -> None:
        super().__init__(task, deployment)
        if deployment.form not in TORCHS:
            raise UserError(f"memory is known of --form {' and '.join(TORCHS)}, not of {deployment.form}")

    @property
    def meter(self) -> "Meter[Any]":
        """Of peaks."""
        from trainers.measuring.peaks import Peaks

        return Peaks(self.deployment)

    def of(self, backbone: str, design: Design) -> float:
        """Of the network that this design builds, which was prepared."""
        from trainers.counting import num_params

        assert self.parts is not None
        peaks = [self.parts.plain[backbone].value]
        peaks += [it.value for _, it in self.parts.of_design(design, backbone, self.task)]
        return self._megabytes(max(peaks), num_params(design, backbone, self.task))

    def of_networks(self, networks: "Mapping[str, nn.Module]") -> dict[str, float]:
        """Of networks that are measured as a whole."""
        from trainers.counting import count_params

        peaks = self.read(networks)
        return {name: self._megabytes(peaks[name], count_params(it)) for name, it in networks.items()}

    def _megabytes(self, peak: float, num_params: int) -> float:
        import torch

        width: int = getattr(torch, self.deployment.dtype).itemsize
        return (peak + num_params * width) / MEGABYTE
