"""What a launch on a cluster would meet: each node that trials may run on is asked, and so is what the driver needs."""

import contextlib
import os
import platform
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from rich.table import Table
from upath import UPath

from pipelines.running.terms import Terms
from pipelines.settings.options.shared import RunOptions
from pipelines.terminal.console import say, stderr
from pipelines.tracking.runs import reach
from search.checkpoints import Checkpoint
from search.engine import Engine
from search.execution import Evaluate
from search.storage import Record, Storage
from space.errors import UserError, first_line
from trainers.datasets import read_data
from trainers.evaluator import Evaluator
from trainers.measuring.timing import device_name

SHARED = "name a place that every node sees and writes, by --checkpoints"


@dataclass(frozen=True)
class Found:
    """What one node has.

    Attributes:
        versions: of Python and torch.
        processor: that networks train on; empty where there is none.
        trouble: what would go wrong there, and what to do, a line each.
    """

    versions: str
    processor: str
    trouble: tuple[str, ...]


@dataclass(frozen=True)
class Look:
    """Tries out, on the node that it is called on, what a training needs.

    Attributes:
        evaluate: makes the trainings; a user's code comes with it.
        place: of the checkpoints.
        token: that the driver has written there.
        versions: of the driver.
    """

    evaluate: Evaluator
    place: UPath
    token: str
    versions: str

    def __call__(self) -> Found:
        """What there is."""
        versions, processor, trouble = versions_here(), "", list[str]()
        if self.evaluate.device == "cuda" and not torch.cuda.is_available():
            trouble.append(f"torch {torch.__version__} sees no GPU; install its CUDA build, or a driver for it")
        else:
            processor = device_name(self.evaluate.device)
        if versions != self.versions:
            trouble.append(f"{versions} here, {self.versions} at the driver; install the same, or curves may differ")
        trouble += _tried("images", lambda: read_data(self.evaluate.source), "let all nodes have them at that path")
        trouble += _tried("checkpoints", self._save_and_read, SHARED)
        return Found(versions, processor, tuple(trouble))

    def _save_and_read(self) -> None:
        if not _written(self.place, self.token).exists():
            raise OSError(f"{self.place} is another folder here than at the driver")
        mine = Checkpoint(self.place / f"preflight-{self.token}-{uuid.uuid4().hex}.pt", {"token": self.token})
        try:
            mine.save({"tensor": torch.ones(3)})
            if mine.load() is None:
                raise OSError(f"what was written to {self.place} is not there")
        finally:
            mine.remove()


def versions_here() -> str:
    """Of what curves depend on."""
    return f"Python {platform.python_version()}, torch {torch.__version__}"


def preflight(run: RunOptions, evaluate: Evaluate, engine: Engine, storage: Storage, record: Record) -> None:
    """Look at the cluster that an engine is on, if it is on one, and show it.

    Args:
        run: where it runs.
        evaluate: makes the trainings.
        engine: of the trials.
        storage: of the study.
        record: the study as it is, without attributes if it is new.

    Raises:
        UserError: trials would fail there; what is to be mended has been shown.
    """
    if run.resources.address is None:
        return
    from search.on_ray.engine import RayEngine  # takes a second

    assert isinstance(engine, RayEngine), "a cluster has no other"
    assert isinstance(evaluate, Evaluator), "a table has no cluster"
    address, terms = run.resources.address, Terms.of(run)
    place = terms.place(record.attributes, storage.folder(record.name))
    trouble = _looked_at(address, evaluate, place, engine.wanted, storage, terms.tracking_uri)
    for line in trouble:
        say(line)
    if trouble:
        raise UserError(f"--address {address}: trials would fail there; what is to be mended stands above")


def _looked_at(
    address: str,
    evaluate: Evaluator,
    place: UPath,
    wanted: Mapping[str, float],
    storage: Storage,
    tracking_uri: str | None,
) -> list[str]:
    """Show the nodes with room for a trial; returns what would go wrong, a line each."""
    from search.on_ray.cluster import on_each_node  # takes a second

    trouble = [f"driver: {line}" for line in _tried("storage", lambda: _can_write(storage), "name another --storage")]
    remedy = "start it, or name another --tracking-uri; what it misses is logged later"
    trouble += [f"driver: {line}" for line in _tried("MLflow", lambda: reach(tracking_uri), remedy)]
    token = uuid.uuid4().hex
    with _marked(place, token) as why, stderr.status(f"looking at the nodes of {address}"):
        trouble += [f"driver: checkpoints: {line}; {SHARED}" for line in why]
        nodes = on_each_node(
            Look(evaluate, place, token, versions_here()), gpu=evaluate.device == "cuda", wanted=wanted
        )
    table = Table("node", "CPUs", "GPUs", "processor", "versions", "trial", box=None)
    for node in nodes:
        found = node.result or Found("", "", (f"{node.error}; see Ray's logs of that node",))
        trouble += [f"{node.name}: {line}" for line in found.trouble]
        sizes = (f"{node.resources.get(name, 0):g}" for name in ("CPU", "GPU"))
        table.add_row(node.name, *sizes, found.processor, found.versions, "no" if found.trouble else "yes")
    stderr.print(table)
    if not nodes:
        trouble.append(f"{address}: no node has room for a trial")
    processors = {node.result.processor for node in nodes if node.result is not None and node.result.processor}
    if len(processors) > 1:
        say(f"nodes differ: {', '.join(sorted(processors))}; --node-type says on which one speed is measured")
    return trouble


def _can_write(storage: Storage) -> None:
    storage.names()
    there = next(folder for folder in (storage.root, *storage.root.parents) if folder.exists())
    if not os.access(there, os.W_OK):
        raise UserError(f"{there} cannot be written")


def _written(place: UPath, token: str) -> UPath:
    return place / f"preflight-{token}"


@contextlib.contextmanager
def _marked(place: UPath, token: str) -> Iterator[list[str]]:
    """A file in the place, for others to see; gives why it could not be written. Nothing of it stays."""
    missing = [folder for folder in (place, *place.parents) if not folder.exists()]
    why: list[str] = []
    try:
        place.mkdir(parents=True, exist_ok=True)
        _written(place, token).write_text(token)
    except Exception as error:  # of any file system
        why.append(f"{type(error).__name__}: {first_line(error)}")
    try:
        yield why
    finally:
        with contextlib.suppress(OSError):
            _written(place, token).unlink(missing_ok=True)
            for folder in missing:
                folder.rmdir()


def _tried(what: str, attempt: Callable[[], object], remedy: str) -> list[str]:
    """What went wrong in it, and what to do; a user's mistake says that itself."""
    try:
        attempt()
    except UserError as error:
        return [f"{what}: {error}"]
    except Exception as error:  # whatever it is, it is told
        return [f"{what}: {type(error).__name__}: {first_line(error)}; {remedy}"]
    return []
