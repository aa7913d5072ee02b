"""Frames per second at inference: measured part by part, predicted for every design."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from space.choices import Candidate
from space.design import Design
from trainers.costs.cost import COSTS, MeasuredCost

if TYPE_CHECKING:
    from torch import nn

    from trainers.throughput import FpsTable


@COSTS.register("fps")
class Fps(MeasuredCost):
    """Images per second, from a table of what each kind of gate adds in each place to the plain backbone."""

    words = "frames per second"
    better = "more"

    table: "FpsTable | None" = None
    """What was measured."""

    def has(self, candidates: Sequence[Candidate]) -> bool:
        """Whether all parts of these designs are measured."""
        return self.table is not None and self.table.has(candidates, self.task)

    def prepare(self, candidates: Sequence[Candidate]) -> None:
        """Measure what is not measured yet of the parts of these designs."""
        from trainers.throughput import measure_table

        self.table = measure_table(candidates, self.task, self.device, self.table)

    def of(self, backbone: str, design: Design) -> float:
        """Of the network that this design builds, which was prepared."""
        assert self.table is not None
        return self.table.fps(design, backbone, self.task)

    def of_network(self, network: "nn.Module") -> float:
        """Measured on the network as a whole."""
        from trainers.throughput import measure_fps

        return measure_fps(network, self.task.shape, self.device)

    @property
    def conditions(self) -> Mapping[str, Any]:
        """Device, batch, type, threads, memory format."""
        from trainers.throughput import conditions_for

        return asdict(self.table.conditions if self.table else conditions_for(self.task.shape, self.device))

    def to_json(self) -> dict[str, Any]:
        """The table."""
        return {} if self.table is None else self.table.to_json()

    def restore(self, table: dict[str, Any]) -> None:
        """Take over the entries of another table."""
        from trainers.throughput import FpsTable

        there = FpsTable.from_json(table)
        self.table = there if self.table is None else self.table.completed_by(there)
