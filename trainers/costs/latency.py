"""Latency at inference, of one image."""

from trainers.costs.cost import COSTS
from trainers.costs.timed import Timed


@COSTS.register("latency")
class Latency(Timed):
    """Milliseconds from an image to its class."""

    unit = "ms"
    batch = 1

    def told(self, seconds: float) -> float:
        """Milliseconds."""
        return 1e3 * seconds
