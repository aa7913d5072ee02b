"""Networks and blocks as they run where they are deployed: calls that compute once."""

import platform
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from space.fold import fold
from trainers.deployment import Deployment
from trainers.onnx_programs import onnx_of, open_onnx

THREADS = 1
"""Of a CPU, that what is measured runs on."""

Call: TypeAlias = Callable[[], object]
"""Computes once."""


def run_of(module: nn.Module, inputs: tuple[Tensor, ...], deployment: Deployment) -> Call:
    """A call of a module on inputs; both stay as they are.

    Args:
        module: a network, or a block of one, on the CPU.
        inputs: what it is given.
        deployment: how it runs.
    """
    module = deepcopy(module).eval()
    if deployment.form == "onnxruntime":
        return open_onnx(onnx_of(module, inputs), THREADS).on(inputs)
    if deployment.form != "eager":
        module = fold(module)
    dtype = getattr(torch, deployment.dtype)
    module = module.to(deployment.device, dtype).to(memory_format=torch.channels_last)
    given = [_laid_out(it.to(deployment.device, dtype)) for it in inputs]
    fresh = [torch.empty_like(it) for it in given]
    called = _compiled(module, tuple(given)) if deployment.form == "compiled" else module

    @torch.inference_mode()
    def run() -> object:
        for to, from_ in zip(fresh, given, strict=True):
            to.copy_(from_)  # a folded block adds into what it is given
        return called(*fresh)

    return run


def _compiled(module: nn.Module, inputs: tuple[Tensor, ...]) -> Callable[..., Any]:
    """Compiled from an export: what the compiler keeps by the code that it has seen is then the module's own."""
    with torch.inference_mode():
        exported = torch.export.export(module, inputs).module()
    return torch.compile(exported, dynamic=False)


def _laid_out(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last) if images.dim() == 4 else images


def device_name(device: str) -> str:
    """The processor's name, as its maker calls it."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
