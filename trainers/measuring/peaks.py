"""A meter of memory."""

import os
from collections.abc import Mapping
from itertools import accumulate

import torch
from torch import Tensor, nn

from trainers.measuring.blocks import CutBlock
from trainers.measuring.meter import Meter
from trainers.measuring.runs import run_of
from trainers.measuring.timing import Call, Figure


class Peaks(Meter[Call]):
    """Reads the most bytes that a call holds at a time, of what it asks torch for itself."""

    def call(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> Call:
        """What computes it once."""
        return run_of(module, inputs, self.deployment)

    def whole(self, calls: Mapping[str, Call]) -> Mapping[str, Figure]:
        """Bytes of each."""
        return {name: Figure(self._peak(call)) for name, call in calls.items()}

    def beside(self, plain: Call, calls: Mapping[str, Call], block: CutBlock) -> Mapping[str, Figure]:
        """Bytes while a block with this gate computes, with those of what it is given."""
        width = getattr(torch, self.deployment.dtype).itemsize
        given = sum(it.numel() * width for it in block.inputs)
        return {name: Figure(given + self._peak(call)) for name, call in calls.items()}

    def _peak(self, call: Call) -> float:
        call()  # what is made at first stays
        if self.deployment.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            call()
            return float(torch.cuda.max_memory_allocated() - before)
        return float(_peak_on_cpu(call))


def _peak_on_cpu(call: Call) -> int:
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it tells of its starts and ends on the terminal
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
        call()
    assert profiler.profiler is not None
    assert profiler.profiler.kineto_results is not None
    events = [it for it in profiler.profiler.kineto_results.events() if it.name() == "[memory]"]
    return max(accumulate(it.nbytes() for it in sorted(events, key=lambda it: it.start_ns())), default=0)
