"""What a meter is: it makes calls of modules, and reads what they take."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor, nn

from trainers.deployment import Deployment
from trainers.measuring.blocks import CutBlock
from trainers.measuring.runs import run_of
from trainers.measuring.timing import SECONDS, Call, Figure, added_seconds, in_turns

C = TypeVar("C")


@dataclass(frozen=True)
class Meter(ABC, Generic[C]):
    """Reads what modules take that run in one way.

    Attributes:
        deployment: how they run.
    """

    deployment: Deployment

    @abstractmethod
    def call(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> C:
        """A module, made ready to be read on these inputs."""

    @abstractmethod
    def whole(self, calls: Mapping[str, C]) -> Mapping[str, Figure]:
        """What each takes."""

    @abstractmethod
    def beside(self, plain: C, calls: Mapping[str, C], block: CutBlock) -> Mapping[str, Figure]:
        """What each comes to as a part of a network, being a block with a gate, beside the same block without one."""


class Clock(Meter[Call]):
    """Reads seconds."""

    def call(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> Call:
        """What computes it once."""
        return run_of(module, inputs, self.deployment)

    def whole(self, calls: Mapping[str, Call]) -> Mapping[str, Figure]:
        """Seconds of each, in turns, for as long as they would be measured alone."""
        samples = in_turns(calls, self.deployment.device, SECONDS * len(calls))
        return {name: Figure.of(it) for name, it in samples.items()}

    def beside(self, plain: Call, calls: Mapping[str, Call], block: CutBlock) -> Mapping[str, Figure]:
        """Seconds that each gate adds."""
        return added_seconds(plain, calls, self.deployment.device)
