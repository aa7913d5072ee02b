"""What an attention module is to the rest of the network: a gate on a branch's features."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor, nn

from space.attention.inference import ChannelMap, Multiplier, Step, declares
from space.attention.passes import channel_means


class Excitation(nn.Module, ABC):
    """From pooled features (B, P) to logits (B, C); P = C unless `squeeze` says otherwise."""

    pools: Callable[[Tensor], Tensor] = staticmethod(channel_means)
    """What `squeeze` computes, apart from the module: behind it a folded excitation begins, see `steps`."""

    def squeeze(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W) -> pooled (B, P): the channel means."""
        return self.pools(features)

    def lift(self, logits: Tensor) -> Tensor:
        """Logits (B, C) -> pooled (B, P): what `squeeze` would make of them as a 1x1 map."""
        return logits

    def pass_on(self) -> None:
        """Let gradients through to what comes before, if the published start would not."""

    @abstractmethod
    def hold(self) -> float:
        """Make the logits the same for every input, and return them."""

    def steps(self, features: ChannelMap | None = None) -> list[Step] | None:
        """What it computes from `pools` of x where the features are this map of x; None, and it is not folded.

        Maps and modules, one after the other. They hold in eval mode.
        """
        return None

    def lifted_steps(self) -> list[Step] | None:
        """Likewise from logits that are not lifted yet."""
        return self.steps()


class Gate(Multiplier, ABC):
    """From features (B, C, H, W) to what they are multiplied with, (B, C, 1, 1) or (B, C, H, W)."""

    @abstractmethod
    def start_at_one(self) -> None:
        """Let the gate start at exactly 1, with gradients that reach every parameter within a few steps."""

    def folded(self, features: ChannelMap | None = None) -> Multiplier | None:
        """An equal gate for inference, in eval mode.

        Args:
            features: the new gate sees x instead, of which the features are this map; None: it sees the features.

        Returns:
            None if there is none: without a map, the gate then runs as it is.
        """
        return None


def folded_gate(gate: Gate, features: ChannelMap | None = None) -> Multiplier | None:
    """What the gate's class itself says of its folded form, see `Gate.folded`; None if it says nothing."""
    return gate.folded(features) if declares(gate, "folded") else None
