"""What a design costs, known before anything is trained."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of one design in one backbone.

    Attributes:
        num_params: trainable parameters, exact.
        macs: multiply-accumulates of convolutions and matrix products for one image, exact.
        fps: images per second at inference, measured; how is recorded with the study.
    """

    num_params: int
    macs: int
    fps: float


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a design may cost at most; None for no limit.

    Attributes:
        max_params: trainable parameters.
        min_fps: images per second.
    """

    max_params: int | None = None
    min_fps: float | None = None

    def allow(self, cost: Cost) -> bool:
        """Whether a design of this cost may be trained."""
        return (self.max_params is None or cost.num_params <= self.max_params) and (
            self.min_fps is None or cost.fps >= self.min_fps
        )
