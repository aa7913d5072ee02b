"""Frames per second at inference, of large batches."""

from trainers.costs.cost import COSTS
from trainers.costs.timed import Timed


@COSTS.register("fps")
class Fps(Timed):
    """Images per second."""

    words = "frames per second"
    better = "more"

    @property
    def batch(self) -> int:
        """As many as fill a processor."""
        from trainers.measuring.parts import batch_of

        return batch_of(self.task)

    def told(self, seconds: float) -> float:
        """Images per second."""
        return self.batch / seconds
