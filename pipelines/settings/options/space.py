"""The options of `search space`; the docstring of the class is its help."""

from dataclasses import dataclass

from pipelines.settings.limits import limits_typed
from pipelines.settings.options.of_a_space import OfASpace
from pipelines.settings.options.shared import (
    Limits,
    MaxParams,
    MinFps,
)


@dataclass(frozen=True, kw_only=True)
class SpaceOptions(OfASpace):
    """How many designs there are, how many meet the limits, and some of them."""

    limit: Limits = ()
    max_params: MaxParams = None
    min_fps: MinFps = None

    def __post_init__(self) -> None:
        super().__post_init__()
        limits_typed(self.limit, self.max_params, self.min_fps)
