"""Networks as ONNX programs, and onnxruntime, which runs them on CPUs."""

import io
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

ERRORS = 3
"""onnxruntime's level of logging that tells of nothing less."""


@contextmanager
def silenced() -> Iterator[None]:
    """Without what the libraries print and log."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(disabled)


class Opened:
    """A program that onnxruntime has opened.

    Args:
        session: onnxruntime's.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._inputs = [it.name for it in session.get_inputs()]

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Its first output."""
        return torch.from_numpy(self.on(inputs)()[0])

    def on(self, inputs: Sequence[Tensor]) -> Callable[[], Any]:
        """A call on these, that takes nothing and returns arrays."""
        given = {name: it.contiguous().numpy() for name, it in zip(self._inputs, inputs, strict=True)}
        return lambda: self._session.run(None, given)


def open_onnx(program: bytes | Path, threads: int = 0) -> Opened:
    """An ONNX program, ready to run on the CPU.

    Args:
        program: a file, or its bytes.
        threads: to run on; 0 for as many as onnxruntime takes.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS
    options.intra_op_num_threads = threads
    of = program if isinstance(program, bytes) else str(program)
    return Opened(onnxruntime.InferenceSession(of, options, providers=["CPUExecutionProvider"]))


def onnx_of(module: nn.Module, inputs: tuple[Tensor, ...]) -> bytes:
    """A module as an ONNX program, for inputs of these shapes alone."""
    with silenced():
        made = torch.onnx.export(module, inputs, dynamo=True, verbose=False)
    assert made is not None  # since no file was named
    program: bytes = made.model_proto.SerializeToString()
    return program
