"""What an attention module is to the rest of the network: a gate on a branch's features."""

from abc import ABC, abstractmethod

from torch import nn


class Excitation(nn.Module, ABC):
    """From pooled channels (B, C) to logits (B, C)."""

    @abstractmethod
    def hold(self) -> float:
        """Make the logits the same for every input, and return them."""


class Gate(nn.Module, ABC):
    """From features (B, C, H, W) to what they are multiplied with, (B, C, 1, 1) or (B, C, H, W)."""

    scale = 1.0
    """Factor on the gate; other than 1 only for the unit start."""

    @abstractmethod
    def start_at_one(self) -> None:
        """Let the gate start at exactly 1, with gradients that reach every parameter."""
