"""`search export`: a trained network as files that need none of this project, each checked against the network."""

import contextlib
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from pipelines.settings.options.export import ExportOptions
from pipelines.settings.options.retrain import LEARNT_FROM
from pipelines.shipping.find import find
from pipelines.shipping.int8 import INT8, calibration_batches, write_int8
from pipelines.shipping.judging import accuracies, images_per_second
from pipelines.shipping.programs import (
    CHECKED,
    ONNX,
    PROGRAMS,
    Compute,
    ProgramError,
    programs,
    quietly,
    write_programs,
)
from pipelines.terminal import exit_codes
from pipelines.terminal.console import print_json, say, stdout
from pipelines.terminal.formats import show_percent
from pipelines.terminal.reading import reading_bar
from search.storage import Storage
from space import UserError
from space.files import to_disk
from space.saved import DESCRIPTION, PROGRAM, WEIGHTS, Saved
from trainers.datasets import read_data
from trainers.deployment import EXTRA, ONNX_PACKAGES
from trainers.evaluator import design_folder
from trainers.images import Images
from trainers.measuring.onnx_programs import open_onnx
from trainers.source import Source

NETWORK = "network"
"""What the network itself is called among its programs, in --json."""
TIMED_BATCH = 32


def export(options: ExportOptions) -> int:
    """Write a trained network as safetensors, torch.export's program and ONNX; returns the exit code.

    Raises:
        UserError: a mistake in the options; nothing has been written then.
    """
    saved = find(options.run, options.design, Storage(options.storage))
    missing = [package for package in ONNX_PACKAGES if find_spec(package) is None]
    if (options.onnx or options.int8) and missing:
        asked = "--int8" if options.int8 else "--onnx"
        raise UserError(f"{asked} needs {' and '.join(missing)}: {EXTRA}")
    into = options.into or Path("export") / design_folder(saved.backbone, saved.design)
    target = into.expanduser().resolve()
    _check_replaceable(target)
    network = saved.network()
    val = _validation_images(saved) if options.int8 else None
    with_onnx = options.onnx is not False and not missing
    judged: dict[str, dict[str, float]] = {}
    try:
        # The spinner goes on while sys.stderr is redirected from the libraries.
        with Console(file=sys.stderr).status("exporting"), _whole(target) as folder:
            differences = write_programs(saved, network, folder, with_onnx=with_onnx, folded=options.folded)
            computes: dict[str, Compute] = {NETWORK: network, **programs(folder)}
            if val is not None:
                with quietly("onnxruntime does not quantise this network"):
                    write_int8(folder / ONNX, folder / INT8, calibration_batches(val, saved))
                    computes[INT8] = open_onnx(folder / INT8)
                judged["val_accuracy"] = accuracies(computes, val, saved)
            judged["images_per_second"] = images_per_second(computes, torch.rand(TIMED_BATCH, *saved.shape))
    except ProgramError as error:
        say(f"search: {error}; nothing was written")
        return exit_codes.FAILED
    if options.onnx is None and missing:
        say(f"{ONNX} was left out, since {' and '.join(missing)} are not installed: {EXTRA}")
    if options.json:
        there = {"folder": str(into), "files": sorted(path.name for path in target.iterdir())}
        described = {"backbone": saved.backbone, "design": str(saved.design)}
        print_json({**there, **described, "folded": options.folded, "largest_difference": differences, **judged})
    else:
        _print(saved, into, differences, judged)
    return exit_codes.COMPLETE


def _validation_images(saved: Saved) -> Images:
    """Those that the network was chosen by.

    Raises:
        UserError: they are not there any more, or nothing says where they were.
    """
    if "source" not in saved.described:
        raise UserError(
            f"{saved.folder / DESCRIPTION} does not say where its images are, which --int8 calibrates with; retrain it"
        )
    with reading_bar() as on_read:
        return read_data(Source.from_json(saved.described["source"]), on_read=on_read).val


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
            to_disk(path)
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
    ours = {DESCRIPTION, WEIGHTS} <= there <= {DESCRIPTION, WEIGHTS, *PROGRAMS, INT8}
    if there and not (ours and CHECKED in Saved.read(target).described):
        raise UserError(f"{target} is not empty, and not an export alone; name another folder with --into")


def _print(saved: Saved, into: Path, differences: dict[str, float], judged: dict[str, dict[str, float]]) -> None:
    apart = {name: f"logits within {most:.1e}" if most else "the same logits" for name, most in differences.items()}
    right, speeds = judged.get("val_accuracy", {}), judged["images_per_second"]
    about = {
        WEIGHTS: f'space.load("{into}")',
        DESCRIPTION: f"images of {' x '.join(map(str, saved.shape))}, normalisation, {len(saved.classes)} classes",
        PROGRAM: f"torch.export.load; {apart[PROGRAM]}",
        ONNX: f"onnxruntime; {apart.get(ONNX)}",
        INT8: "onnxruntime; 8 bits",
    }
    table = Table(box=None, title=Text(f"{saved.backbone} {saved.design} in {into}"), title_justify="left")
    for column in ("file", "size", "use"):
        table.add_column(column, justify="right" if column == "size" else "left")
    table.add_column(f"images/s, in batches of {TIMED_BATCH}", justify="right")
    if right:
        table.add_column("validation accuracy", justify="right")
    for name, use in about.items():
        file, judged_as = into.expanduser() / name, NETWORK if name == WEIGHTS else name
        if file.is_file():
            speed = f"{speeds[judged_as]:,.0f}" if judged_as in speeds else ""
            accuracy = [show_percent(right[judged_as])] if judged_as in right else []
            table.add_row(Text(name), decimal(file.stat().st_size), Text(use), speed, *accuracy)
    stdout.print(table)
    if right and saved.described.get("trained_on") == LEARNT_FROM[-1]:
        stdout.print("It learnt from the validation images, too.")
