"""A meter of memory."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

import torch

from trainers.blocks import CutBlock
from trainers.deployment import Deployment
from trainers.runs import Call
from trainers.timing import Figure


@dataclass(frozen=True)
class Peaks:
    """The most bytes that a call holds at a time, of what it asks torch for itself.

    Attributes:
        deployment: how networks run.
    """

    deployment: Deployment

    def whole(self, runs: Mapping[str, Call]) -> Mapping[str, Figure]:
        """Bytes of each."""
        return {name: Figure(self._peak(run)) for name, run in runs.items()}

    def beside(self, plain: Call, runs: Mapping[str, Call], block: CutBlock) -> Mapping[str, Figure]:
        """Bytes while a block with this gate computes, with those of what it is given."""
        width = getattr(torch, self.deployment.dtype).itemsize
        given = sum(it.numel() * width for it in block.inputs)
        return {name: Figure(given + self._peak(run)) for name, run in runs.items()}

    def _peak(self, run: Call) -> float:
        run()  # what is made at first stays
        if self.deployment.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            run()
            return float(torch.cuda.max_memory_allocated() - before)
        return float(_peak_on_cpu(run))


def _peak_on_cpu(run: Call) -> int:
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it tells of its starts and ends on the terminal
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
        run()
    assert profiler.profiler is not None
    assert profiler.profiler.kineto_results is not None
    events = [it for it in profiler.profiler.kineto_results.events() if it.name() == "[memory]"]
    return max(accumulate(it.nbytes() for it in sorted(events, key=lambda it: it.start_ns())), default=0)
