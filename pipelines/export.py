"""`search export`: a trained network as files that need none of this project, each checked against the network."""

import contextlib
import importlib
import io
import json
import logging
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TypeAlias

import torch
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text
from torch import Tensor, nn
from torch.export import ExportedProgram

from pipelines import session
from pipelines.console import print_json, say, stdout
from pipelines.shipped import find
from search.storage import Storage
from space import UserError
from space.files import sync
from space.loading import DESCRIPTION, PROGRAM, WEIGHTS, Saved
from trainers.evaluator import design_folder

ONNX = "model.onnx"
CHECKED = "checked"
"""Entry of the design.json of an export alone."""
INPUT, OUTPUT = "images", "logits"
"""What a program calls them."""
MOST_DIFFERENCE = 1e-4
BATCHES = (1, 3)
"""Sizes of the batches that a program is checked on."""
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
EXTRA = "pip install 'attention-search[export]'"

Compute: TypeAlias = Callable[[Tensor], Tensor]
"""From normalised images (B, C, H, W) to logits (B, K)."""


class ProgramError(Exception):
    """A program that cannot be made or run, or differs from its network; told in one line."""


def export(run: str, into: Path | None, design: str | None, onnx: bool | None, storage: str, as_json: bool) -> int:
    """Write a trained network as safetensors, torch.export's program and ONNX; returns the exit code.

    Args:
        run: as `shipped.find` takes it.
        into: folder to write; None for one named after backbone and design below export/.
        design: which one of a retraining; None for the first asked for.
        onnx: whether ONNX is wanted; None for where its packages are.
        storage: of the studies.
        as_json: print the result for programs.

    Raises:
        UserError: a mistake in the options; nothing has been written then.
    """
    saved = find(run, design, Storage(storage))
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if onnx and missing:
        raise UserError(f"--onnx needs {' and '.join(missing)}: {EXTRA}")
    into = into or Path("export") / design_folder(saved.backbone, saved.design)
    target = into.expanduser().resolve()
    _check_replaceable(target)
    network = saved.network()
    try:
        # The spinner goes on while sys.stderr is redirected from the libraries.
        with Console(file=sys.stderr).status("exporting"), _whole(target) as folder:
            differences = _write(saved, network, folder, with_onnx=onnx is not False and not missing)
    except ProgramError as error:
        say(f"search: {error}; nothing was written")
        return session.FAILED
    if onnx is None and missing:
        say(f"{ONNX} was left out, since {' and '.join(missing)} are not installed: {EXTRA}")
    if as_json:
        there = {"folder": str(into), "files": sorted(path.name for path in target.iterdir())}
        described = {"backbone": saved.backbone, "design": str(saved.design)}
        print_json({**there, **described, "largest_difference": differences})
    else:
        _print(saved, into, differences)
    return session.COMPLETE


def programs(folder: Path) -> dict[str, Compute]:
    """The exported programs in a folder, ready to run, as far as their packages are installed.

    Raises:
        ProgramError: one that cannot be read.
    """
    found = {}
    for name, opened in PROGRAMS.items():
        if (folder / name).is_file() and (name != ONNX or find_spec("onnxruntime")):
            with _quietly(f"{folder / name} cannot be read"):
                found[name] = opened(folder / name)
    return found


def compare(name: str, program: Compute, images: Tensor, logits: Tensor) -> float:
    """Largest difference of a program's logits from those of its network, as a share of the largest of these.

    Args:
        name: of the program.
        program: to run.
        images: (B, C, H, W), normalised.
        logits: (B, K), of the network.

    Raises:
        ProgramError: it does not run, or the difference is too large.
    """
    with _quietly(f"{name} does not run on a batch of {len(images)}"), torch.inference_mode():
        others = program(images)
        apart = (logits - others).abs().max() / logits.abs().max().clamp(min=torch.finfo(logits.dtype).tiny)
    if not (logits.shape == others.shape and apart <= MOST_DIFFERENCE):  # also if it is nan
        raise ProgramError(
            f"{name} and the network differ: on a batch of {len(images)} by {float(apart):.1e} of the largest logit, "
            f"and {MOST_DIFFERENCE:.0e} is allowed"
        )
    return float(apart)


def exported(network: nn.Module, shape: tuple[int, int, int]) -> ExportedProgram:
    """The program of torch.export, for any number of images (C, H, W)."""
    batch = torch.export.Dim("batch", min=1)
    return torch.export.export(network, (torch.zeros(2, *shape),), dynamic_shapes=({0: batch},))


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


def _write(saved: Saved, network: nn.Module, folder: Path, with_onnx: bool) -> dict[str, float]:
    """Write the files and check them; returns the largest difference of each program."""
    shutil.copyfile(saved.weights, folder / WEIGHTS)
    with _quietly("torch.export does not take this network"):
        graph = exported(network, saved.shape)
        torch.export.save(graph, folder / PROGRAM)
    if with_onnx:
        with _quietly("ONNX does not take this network, and --no-onnx leaves it out"):
            write_onnx(graph, folder / ONNX)
    differences = dict.fromkeys(found := programs(folder), 0.0)
    generator = torch.Generator().manual_seed(0)
    for size in BATCHES:
        images = saved.normalise(torch.randint(256, (size, *saved.shape), generator=generator))
        with torch.inference_mode():
            logits = network(images)
        for name, program in found.items():
            differences[name] = max(differences[name], compare(name, program, images, logits))
    packages = [importlib.import_module(name) for name in ("torch", *(PACKAGES if with_onnx else ()))]
    checked = {
        "input": {"name": INPUT, "shape": ["batch", *saved.shape], "is": "(pixels / 255 - mean) / std"},
        "output": {"name": OUTPUT, "shape": ["batch", len(saved.classes)], "is": "a logit for each class"},
        "batches": BATCHES,
        "allowed_difference": MOST_DIFFERENCE,
        "largest_difference": differences,
        "versions": {package.__name__: str(package.__version__) for package in packages},
    }
    (folder / DESCRIPTION).write_text(json.dumps({**saved.described, CHECKED: checked}, indent=2))
    return differences


def _open_program(path: Path) -> Compute:
    with zipfile.ZipFile(path) as archive:
        constants = [PurePosixPath(name) for name in archive.namelist() if "/constants/" in name]
    if any(not constant.name.startswith("tensor_") and constant.suffix != ".json" for constant in constants):
        raise ProgramError(f"{path} holds objects to unpickle, which might be any code; export it again")
    with _no_pickles():
        return torch.export.load(path).module()


def _open_onnx(path: Path) -> Compute:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    opened = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(opened.run([OUTPUT], {INPUT: images.numpy()})[0])


PROGRAMS: dict[str, Callable[[Path], Compute]] = {PROGRAM: _open_program, ONNX: _open_onnx}
"""How each program of a folder is opened."""


@contextlib.contextmanager
def _quietly(trouble: str) -> Iterator[None]:
    """Without what the libraries print and log; whatever they raise is told in a line after `trouble`.

    Raises:
        ProgramError: something was raised inside.
    """
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    except ProgramError:
        raise
    except Exception as error:  # torch's, onnxscript's and onnxruntime's many, and those of a user's own network
        reason = next(iter(str(error).splitlines()), "")
        raise ProgramError(f"{trouble} ({type(error).__name__}: {reason})") from None
    finally:
        logging.disable(disabled)


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


@contextlib.contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A new folder, put in the place of `target` when it is whole; gone if anything is raised.

    Raises:
        UserError: it cannot be made there.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-")
    except OSError as error:
        reason = f"{error.strerror}: {error.filename}"
        raise UserError(f"{target} cannot be written ({reason}); name another folder with --into") from None
    with beside as name:
        folder = Path(name) / "new"
        folder.mkdir()
        yield folder
        for path in (*folder.iterdir(), folder):
            sync(path)
        if target.exists():
            target.rename(Path(name) / "old")
        folder.rename(target)


def _check_replaceable(target: Path) -> None:
    """Make sure that nothing but an earlier export is lost.

    Raises:
        UserError: there is something else.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise UserError(f"{target} is a file; name a folder with --into")
    if target.is_mount() or target == Path.cwd():
        raise UserError(f"{target} cannot be replaced as a whole; name a folder in it with --into")
    there = {path.name for path in target.iterdir()}
    ours = {DESCRIPTION, WEIGHTS} <= there <= {DESCRIPTION, WEIGHTS, *PROGRAMS}
    if there and not (ours and CHECKED in Saved.read(target).described):
        raise UserError(f"{target} is not empty, and not an export alone; name another folder with --into")


def _print(saved: Saved, into: Path, differences: dict[str, float]) -> None:
    apart = {name: f"logits within {most:.1e}" if most else "the same logits" for name, most in differences.items()}
    about = {
        WEIGHTS: f'space.load("{into}")',
        DESCRIPTION: f"images of {' x '.join(map(str, saved.shape))}, normalisation, {len(saved.classes)} classes",
        PROGRAM: f"torch.export.load; {apart[PROGRAM]}",
        ONNX: f"onnxruntime; {apart.get(ONNX)}",
    }
    title = Text(f"{saved.backbone} {saved.design} in {into}")
    table = Table(box=None, title=title, title_justify="left", show_header=False)
    for name, use in about.items():
        file = into.expanduser() / name
        if file.is_file():
            table.add_row(name, decimal(file.stat().st_size), Text(use))
    stdout.print(table)
