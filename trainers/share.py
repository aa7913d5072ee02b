"""The share that one process has in a training which several do together, each on a device of its own."""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from space.errors import UserError


@dataclass(frozen=True)
class Share:
    """One of `world` equal shares of each batch.

    Attributes:
        rank: which one, from 0; the first one leads: it judges, and writes weights.
        world: of how many.
    """

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether it is the first one."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.world == 1

    @property
    def least(self) -> int:
        """Images of a batch that can be trained on: BN needs two in each share."""
        return 2 * self.world

    def batch(self, batch_size: int) -> int:
        """Images of a whole batch that are in this share.

        Raises:
            UserError: it has not as many equal shares, or too few images for them.
        """
        if batch_size % self.world or batch_size < self.least:
            raise UserError(
                f"--batch-size {batch_size} does not part over {self.world} GPUs; a multiple of {self.world} does, "
                f"from {self.least} on"
            )
        return batch_size // self.world

    def of(self, order: Tensor, batch_size: int) -> Tensor:
        """Of the images in an order (N,), those of this share of each batch, in batches of `batch`."""
        if self.alone:
            return order
        return torch.cat([batch.tensor_split(self.world)[self.rank] for batch in order.split(batch_size)])

    def total(self, values: Tensor) -> Tensor:
        """The sum over all shares; waits for the others."""
        if not self.alone:
            dist.all_reduce(values)
        return values


ALONE = Share()
