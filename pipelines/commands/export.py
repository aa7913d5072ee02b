"""`search export`: a trained network as files that need none of this project, each checked against the network."""

import contextlib
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from pipelines.settings.options.commands import ExportOptions
from pipelines.shipping.find import find
from pipelines.shipping.programs import (
    CHECKED,
    EXTRA,
    ONNX,
    PACKAGES,
    PROGRAMS,
    ProgramError,
    write_programs,
)
from pipelines.terminal import exit_codes
from pipelines.terminal.console import print_json, say, stdout
from search.storage import Storage
from space import UserError
from space.files import sync
from space.saved import DESCRIPTION, PROGRAM, WEIGHTS, Saved
from trainers.evaluator import design_folder


def export(options: ExportOptions) -> int:
    """Write a trained network as safetensors, torch.export's program and ONNX; returns the exit code.

    Raises:
        UserError: a mistake in the options; nothing has been written then.
    """
    saved = find(options.run, options.design, Storage(options.storage))
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if options.onnx and missing:
        raise UserError(f"--onnx needs {' and '.join(missing)}: {EXTRA}")
    into = options.into or Path("export") / design_folder(saved.backbone, saved.design)
    target = into.expanduser().resolve()
    _check_replaceable(target)
    network = saved.network()
    try:
        # The spinner goes on while sys.stderr is redirected from the libraries.
        with Console(file=sys.stderr).status("exporting"), _whole(target) as folder:
            differences = write_programs(saved, network, folder, with_onnx=options.onnx is not False and not missing)
    except ProgramError as error:
        say(f"search: {error}; nothing was written")
        return exit_codes.FAILED
    if options.onnx is None and missing:
        say(f"{ONNX} was left out, since {' and '.join(missing)} are not installed: {EXTRA}")
    if options.json:
        there = {"folder": str(into), "files": sorted(path.name for path in target.iterdir())}
        described = {"backbone": saved.backbone, "design": str(saved.design)}
        print_json({**there, **described, "largest_difference": differences})
    else:
        _print(saved, into, differences)
    return exit_codes.COMPLETE


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
