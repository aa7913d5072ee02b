"""An exponential average of a network over the steps of its training."""

from copy import deepcopy
from itertools import chain

from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """The average of weights and statistics, of what they are after the first step on.

    torch's `AveragedModel` does the same in ten times the time, as it walks both networks at every step: a tenth of a
    step of a small network.

    Args:
        network: that is trained, where it will stay.
        decay: how much of itself the average keeps at a step.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = deepcopy(network).requires_grad_(False)
        self._averages, self._current = _averaged(self.network), _averaged(network)
        self._update = get_ema_multi_avg_fn(decay)
        self._trained = network
        self._begun = False

    def update(self) -> None:
        """Take in what a step made of the network."""
        if self._begun:
            self._update(self._averages, self._current, None)
        else:
            self.load_state_dict(self._trained.state_dict())

    def state_dict(self) -> dict[str, Tensor]:
        """The averages, under the network's names; empty before the first step."""
        return self.network.state_dict() if self._begun else {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from these averages."""
        if state:
            self.network.load_state_dict(state)
        self._begun = bool(state)


def _averaged(network: nn.Module) -> list[Tensor]:
    """What is averaged: not the counts of batches, which nothing reads."""
    return [tensor for tensor in chain(network.parameters(), network.buffers()) if tensor.is_floating_point()]
