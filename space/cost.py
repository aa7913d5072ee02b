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
