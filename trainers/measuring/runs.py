"""Networks and blocks as they run where they are deployed: calls that compute once."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from space.fold import fold
from trainers.deployment import Deployment
from trainers.measuring.onnx_programs import onnx_of, open_onnx
from trainers.measuring.timing import THREADS, Call, on_copies


def run_of(module: nn.Module, inputs: tuple[Tensor, ...], deployment: Deployment) -> Call:
    """A call of a module on inputs; both stay as they are.

    Args:
        module: a network, or a block of one, on the CPU.
        inputs: what it is given.
        deployment: how it runs.
    """
    if deployment.form == "onnxruntime":
        return open_onnx(onnx_of(deepcopy(module).eval(), inputs), THREADS).on(inputs)
    module, given = in_form(module, inputs, deployment)
    return on_copies(_compiled(module, given) if deployment.form == "compiled" else module, given)


def in_form(
    module: nn.Module, inputs: tuple[Tensor, ...], deployment: Deployment
) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A module in the form that torch runs, before anything is compiled, and its inputs likewise."""
    if deployment.form == "eager" or any(part.training for part in module.modules()):  # `fold` makes its own copy
        module = deepcopy(module).eval()
    if deployment.form != "eager":
        module = fold(module)
    dtype = getattr(torch, deployment.dtype)
    module = module.to(deployment.device, dtype).to(memory_format=torch.channels_last)
    return module, tuple(_laid_out(it.to(deployment.device, dtype)) for it in inputs)


def _compiled(module: nn.Module, inputs: tuple[Tensor, ...]) -> Callable[..., Any]:
    """Compiled from an export: what the compiler keeps by the code that it has seen is then the module's own."""
    with torch.inference_mode():
        exported = torch.export.export(module, inputs).module()
    return torch.compile(exported, dynamic=False)


def _laid_out(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last) if images.dim() == 4 else images
