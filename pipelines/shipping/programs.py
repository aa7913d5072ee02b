"""A trained network as programs that need none of this project, opened again and compared with the network."""

import contextlib
import importlib
import json
import os
import shutil
import warnings
import zipfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from space.errors import first_line
from space.fold import fold
from space.saved import DESCRIPTION, PROGRAM, WEIGHTS, Saved
from trainers.deployment import ONNX_PACKAGES
from trainers.measuring.onnx_programs import open_onnx, silenced

ONNX = "model.onnx"
INPUT, OUTPUT = "images", "logits"
"""What a program calls them."""
MOST_DIFFERENCE = 1e-4
Compute: TypeAlias = Callable[[Tensor], Tensor]
"""From normalised images (B, C, H, W) to logits (B, K)."""
CHECKED = "checked"
"""Entry of the design.json of an export alone."""
BATCHES = (1, 3)
"""Sizes of the batches that a program is checked on."""


class ProgramError(Exception):
    """A program that cannot be made or run, or differs from its network; told in one line."""


def programs(folder: Path) -> dict[str, Compute]:
    """The exported programs in a folder, ready to run, as far as their packages are installed.

    Raises:
        ProgramError: one that cannot be read.
    """
    found = {}
    for name, open_it in PROGRAMS.items():
        if (folder / name).is_file() and (name != ONNX or find_spec("onnxruntime")):
            with quietly(f"{folder / name} cannot be read"):
                found[name] = open_it(folder / name)
    return found


def difference_of(name: str, program: Compute, images: Tensor, logits: Tensor) -> float:
    """Largest difference of a program's logits from those of its network, as a share of the largest of these.

    Args:
        name: of the program.
        program: to run.
        images: (B, C, H, W), normalised.
        logits: (B, K), of the network.

    Raises:
        ProgramError: it does not run, or the difference is too large.
    """
    with quietly(f"{name} does not run on a batch of {len(images)}"), torch.inference_mode():
        others = program(images)
        apart = (logits - others).abs().max() / logits.abs().max().clamp(min=torch.finfo(logits.dtype).tiny)
    if not (logits.shape == others.shape and apart <= MOST_DIFFERENCE):  # also if it is nan
        raise ProgramError(
            f"{name} and the network differ: on a batch of {len(images)} by {float(apart):.1e} of the largest logit, "
            f"and {MOST_DIFFERENCE:.0e} is allowed"
        )
    return float(apart)


def write_programs(
    saved: Saved, network: nn.Module, folder: Path, *, with_onnx: bool, folded: bool = True
) -> dict[str, float]:
    """Write the files and check them; returns the largest difference of each program from the network.

    Args:
        saved: what the network was read from.
        network: in eval mode.
        folder: to write to.
        with_onnx: whether ONNX is written, too.
        folded: whether torch.export's program is of the network folded for inference.
    """
    shutil.copyfile(saved.weights, folder / WEIGHTS)
    with quietly("torch.export does not take this network"):
        write_program(exported(fold(network) if folded else network, saved.shape), folder / PROGRAM)
    if with_onnx:
        with quietly("ONNX does not take this network, and --no-onnx leaves it out"):
            write_onnx(exported(network, saved.shape), folder / ONNX)  # onnxruntime folds it, and better
    differences = dict.fromkeys(found := programs(folder), 0.0)
    generator = torch.Generator().manual_seed(0)
    for size in BATCHES:
        images = saved.normalise(torch.randint(256, (size, *saved.shape), generator=generator))
        with torch.inference_mode():
            logits = network(images)
        for name, program in found.items():
            differences[name] = max(differences[name], difference_of(name, program, images, logits))
    packages = [importlib.import_module(name) for name in ("torch", *(ONNX_PACKAGES if with_onnx else ()))]
    checked = {
        "input": {"name": INPUT, "shape": ["batch", *saved.shape], "is": "(pixels / 255 - mean) / std"},
        "output": {"name": OUTPUT, "shape": ["batch", len(saved.classes)], "is": "a logit for each class"},
        "folded": folded,
        "batches": BATCHES,
        "allowed_difference": MOST_DIFFERENCE,
        "largest_difference": differences,
        "versions": {package.__name__: str(package.__version__) for package in packages},
    }
    (folder / DESCRIPTION).write_text(json.dumps({**saved.described, CHECKED: checked}, indent=2))
    return differences


def exported(network: nn.Module, shape: tuple[int, int, int]) -> ExportedProgram:
    """The program of torch.export, for any number of images (C, H, W)."""
    batch = torch.export.Dim("batch", min=1)
    return torch.export.export(network, (torch.zeros(2, *shape),), dynamic_shapes=({0: batch},))


def write_program(program: ExportedProgram, path: Path) -> None:
    """Write a program as torch.export has it."""
    with warnings.catch_warnings():  # about weights that are channels_last, which are written and read as they are
        warnings.filterwarnings("ignore", "No complete tensor")
        torch.export.save(program, path)


def write_onnx(program: ExportedProgram, path: Path) -> None:
    """Write a program as ONNX, in one file."""
    made = torch.onnx.export(
        program,
        dynamo=True,
        dynamic_shapes=({0: "batch"},),
        input_names=[INPUT],
        output_names=[OUTPUT],
        verbose=False,
    )
    assert made is not None  # since no file was named
    made.save(path, external_data=False)


def _open_program(path: Path) -> Compute:
    with zipfile.ZipFile(path) as archive:
        constants = [PurePosixPath(name) for name in archive.namelist() if "/constants/" in name]
    if any(not constant.name.startswith("tensor_") and constant.suffix != ".json" for constant in constants):
        raise ProgramError(f"{path} holds objects to unpickle, which might be any code; export it again")
    with _no_pickles():
        return torch.export.load(path).module()


PROGRAMS: dict[str, Callable[[Path], Compute]] = {PROGRAM: _open_program, ONNX: open_onnx}
"""How each program of a folder is opened."""


@contextlib.contextmanager
def quietly(trouble: str) -> Iterator[None]:
    """Without what the libraries print and log; whatever they raise is told in a line after `trouble`.

    Raises:
        ProgramError: something was raised inside.
    """
    try:
        with silenced():
            yield
    except ProgramError:
        raise
    except Exception as error:  # torch's, onnxscript's and onnxruntime's many, and those of a user's own network
        raise ProgramError(f"{trouble} ({type(error).__name__}: {first_line(error)})") from None


@contextlib.contextmanager
def _no_pickles() -> Iterator[None]:
    """Let torch.load, wherever it is called, take tensors alone."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before
