"""One training spread over several processes, each on a device of its own, by torch's DistributedDataParallel."""

import contextlib
import copy
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import multiprocessing

from space.errors import first_line
from trainers.share import Share
from trainers.training import Training

MakeShare = Callable[[Share, torch.device], Training]
"""Makes the training of one share; goes to other processes."""

OTHERS_SECONDS = 10.0
"""So long the first share, when it fails, waits for another one to say why."""


class Spread:
    """A training of which this process has the first share; processes that it starts have the others.

    Args:
        make: the training of a share.
        world: shares.
        device: cpu or cuda; of CUDA devices each share has one.
    """

    def __init__(self, make: MakeShare, world: int, device: str) -> None:
        context = multiprocessing.get_context("spawn")
        folder = tempfile.TemporaryDirectory(prefix="search-spread-")
        meeting = f"file://{Path(folder.name) / 'meeting'}"
        self._pipes: list[Connection] = []
        processes: list[BaseProcess] = []
        for rank in range(1, world):
            ours, theirs = context.Pipe()
            share = Share(rank, world)
            process = context.Process(target=_follow, args=(make, share, device, meeting, theirs), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            processes.append(process)
        self.close = weakref.finalize(self, _end, folder, self._pipes, processes)
        """Ends the other processes; nothing is trained any more."""
        share = Share(0, world)
        _join(share, device, meeting)
        with self._or_what_another_says():
            self._training = make(share, _device(share, device))
            self._hear()

    @property
    def done(self) -> bool:
        """Whether all epochs are trained."""
        return self._training.done

    def step(self) -> dict[str, float]:
        """Train one epoch; the first share judges and reports.

        Raises:
            Exception: of one of the shares.
        """
        report: dict[str, float] = self._all("step")
        if self.done:
            self.close()
        return report

    def state_dict(self) -> dict[str, Any]:
        """Of the first share, which the others have, too, but for their BN statistics."""
        return self._training.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        self._all("load_state_dict", state)

    def halve_batches(self) -> None:
        """Train in less memory from now on."""
        self._all("halve_batches")

    def _all(self, method: str, *arguments: Any) -> Any:
        """Have every share do this; returns what the first one does."""
        with self._or_what_another_says():
            for pipe in self._pipes:
                pipe.send((method, arguments))
            result = getattr(self._training, method)(*arguments)
            self._hear()
        return result

    def _hear(self) -> None:
        """Wait for the others to have done it.

        Raises:
            Exception: what one of them raised.
        """
        for pipe in self._pipes:
            if (error := pipe.recv()) is not None:
                raise error

    @contextlib.contextmanager
    def _or_what_another_says(self) -> Iterator[None]:
        """What fails here because another share failed is told as that one's failure; in any case all end."""
        try:
            yield
        except Exception as error:
            for pipe in self._pipes:
                with contextlib.suppress(EOFError, OSError):
                    if isinstance(error, RuntimeError | EOFError) and pipe.poll(OTHERS_SECONDS):
                        error = pipe.recv() or error
            self.close()
            raise error from None


def _follow(make: MakeShare, share: Share, device: str, meeting: str, pipe: Connection) -> None:
    """Do what the first share does, until it ends."""
    with contextlib.suppress(EOFError, OSError):
        try:
            _join(share, device, meeting)
            training = make(share, _device(share, device))
            pipe.send(None)
            while True:
                method, arguments = pipe.recv()
                getattr(training, method)(*copy.deepcopy(arguments))  # tensors come as memory that both would write
                pipe.send(None)
        except EOFError:
            raise
        except Exception as error:  # whatever it is, the first share tells it
            pipe.send(_plain(error))


def _join(share: Share, device: str, meeting: str) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all shares are on one machine
    if device == "cuda":
        torch.cuda.set_device(share.rank)
    backend = "nccl" if device == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=meeting, rank=share.rank, world_size=share.world)


def _device(share: Share, device: str) -> torch.device:
    return torch.device(device, share.rank) if device == "cuda" else torch.device(device)


def _plain(error: Exception) -> Exception:
    """The same kind of error with nothing but its text, which any process can read."""
    says = first_line(error)
    for kind in (FloatingPointError, MemoryError, torch.OutOfMemoryError):
        if isinstance(error, kind):
            return kind(says)
    return RuntimeError(f"{type(error).__name__}: {says}")


def _end(
    folder: tempfile.TemporaryDirectory[str], pipes: Sequence[Connection], processes: Sequence[BaseProcess]
) -> None:
    for pipe in pipes:
        pipe.close()
    if dist.is_initialized():
        dist.destroy_process_group()
    for process in processes:
        process.terminate()
        process.join()
    folder.cleanup()
