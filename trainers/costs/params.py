"""Parameters that are trained: exact."""

from space.design import Design
from trainers.costs.cost import COSTS, Cost


@COSTS.register("params")
class Params(Cost):
    """Trainable parameters; one that is shared counts once."""

    key = "num_params"
    words = "parameters"
    against_plain = "added"

    def of(self, backbone: str, design: Design) -> int:
        """Of the network that this design builds."""
        from trainers.counting import num_params

        return num_params(design, backbone, self.task)
