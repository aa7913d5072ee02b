"""A gate from pooled features, with depth: a module applied several times, or several modules.

Zhong et al.: Deepening Neural Networks Implicitly and Locally via Recurrent Attention Strategy,
https://arxiv.org/abs/2210.15676, Eq. 1, Eq. 2, Eq. 3 and Eq. 5
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from space.attention.connection import CONNECTIONS, folded_connection
from space.attention.gate import Excitation, Gate
from space.attention.inference import ChannelMap, PooledGate, declares
from space.design import Design


class RecurrentGate(Gate):
    """sigmoid(g(..connection(g(squeeze(x)))): squeeze, excitation in depth, gate.

    Args:
        excitations: one g, applied once more than there are connections (implicit deepening), or as
            many as there are applications (explicit); may be shared with other blocks.
        connections: what sits between, in order; the same object twice is one shared BN.

    Shape:
        features (B, C, H, W) -> gate (B, C, 1, 1).
    """

    def __init__(self, excitations: Sequence[Excitation], connections: Sequence[nn.Module] = ()) -> None:
        super().__init__()
        self.excitations = nn.ModuleList(excitations)
        self.connections = nn.ModuleList(connections)

    def forward(self, features: Tensor) -> Tensor:
        pooled = self._excitation(0).squeeze(features)
        return self._scaled(self.logits(pooled).sigmoid())[:, :, None, None]

    def logits(self, pooled: Tensor) -> Tensor:
        """Pooled (B, P) -> logits (B, C)."""
        logits: Tensor = self._excitation(0)(pooled)
        for step, connection in enumerate(self.connections, start=1):
            excitation = self._excitation(step)
            logits = excitation(excitation.lift(connection(logits)))
        return logits

    def folded(self, features: ChannelMap | None = None) -> PooledGate | None:
        """Where maps meet they become one: a BN between two applications costs nothing, nor does any depth of maps."""
        if not all(map(_declares_steps, self.excitations)):
            return None
        steps = self._excitation(0).steps(features)
        for step, connection in enumerate(self.connections, start=1):
            more = self._excitation(step).lifted_steps()
            if steps is None or more is None:
                return None
            steps = [*steps, *folded_connection(connection), *more]
        return None if steps is None else PooledGate(self._excitation(0).pools, steps, self.scale)

    def start_at_one(self) -> None:
        """Let the last application put out a constant at first, and divide by the sigmoid of that constant.

        A BN between puts out 1 instead of 0: no gradient would reach an excitation that sees only
        zeros (the saddle of RAS at depth 2).
        """
        self.scale = 1.0 + math.exp(-self._excitation(-1).hold())
        for excitation in self.excitations[:-1]:
            assert isinstance(excitation, Excitation)
            excitation.pass_on()
        for connection in self.connections:
            if isinstance(connection, nn.BatchNorm1d):
                nn.init.ones_(connection.bias)

    def _excitation(self, step: int) -> Excitation:
        excitation = self.excitations[step % len(self.excitations)]
        assert isinstance(excitation, Excitation)
        return excitation


def _declares_steps(excitation: nn.Module) -> bool:
    """Whether its steps begin behind what it is given: one that squeezes or lifts in its own way says so apart."""
    assert isinstance(excitation, Excitation)
    kind = type(excitation)
    lifts = kind.lift is Excitation.lift or declares(excitation, "lifted_steps")
    return declares(excitation, "steps") and kind.squeeze is Excitation.squeeze and lifts


def connections(design: Design, channels: int) -> list[nn.Module]:
    """The connections of one block: none at depth 1; one BN for all where `bn` is shared."""
    if design["depth"] == 1:
        return []
    make, count = CONNECTIONS[design["connection"]], design["depth"] - 1
    return [make(channels)] * count if design.get("bn") == "shared" else [make(channels) for _ in range(count)]
