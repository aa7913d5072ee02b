"""Multiply-accumulates of convolutions and matrix products: exact."""

from space.design import Design
from trainers.costs.cost import COSTS, Cost


@COSTS.register("macs")
class Macs(Cost):
    """Multiply-accumulates for one image."""

    words = "MACs"
    column = "MACs"

    def of(self, backbone: str, design: Design) -> int:
        """Of the network that this design builds."""
        from trainers.counting import macs

        return macs(design, backbone, self.task)
