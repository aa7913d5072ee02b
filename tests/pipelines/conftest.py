"""The command line in a folder of its own, quick enough to be run often."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image

from pipelines import cli
from pipelines.tracking.runs import EXPERIMENT
from trainers.measuring import timing

pytest.register_assert_rewrite("tests.pipelines.faults")

TINY = """
attention = ["none", "se", "ras"]
[se]
reduction = [4, 16]
stages = ["3", "23"]
[ras]
depth = [1, 2]
start = ["published", "unit"]
"""


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Search = Callable[..., Ended]


@pytest.fixture(scope="session")
def empty_tracking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs; making one takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def here(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, empty_tracking: Path
) -> Path:
    """A fresh working directory with a tiny space and an empty MLflow database, and a cache elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    shutil.copy(empty_tracking, tmp_path / "mlflow.db")
    (tmp_path / "tiny.toml").write_text(TINY)
    monkeypatch.setattr(timing, "SHORTEST", 0.0)
    monkeypatch.setattr(timing, "ROUNDS", 1)
    return tmp_path


@pytest.fixture
def search(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Search:
    """Run `search ...` in this process."""

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["search", *arguments])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return run


@pytest.fixture
def launch(search: Search) -> Search:
    """`search launch` on the tiny space with one epoch a trial and no replicates, in this process."""

    def run(*arguments: str) -> Ended:
        quick = ("--space", "tiny.toml", "--epochs", "1", "--engine", "local", "--confirm", "0")
        return search("launch", *quick, *arguments)

    return run


@pytest.fixture
def start(here: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `search ...` in a process of its own; killed at the end if it still runs."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        program = [sys.executable, "-c", "from pipelines.cli import main; main()", *arguments]
        process = subprocess.Popen(
            program, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ.copy()
        )
        started.append(process)
        return process

    yield run
    for process in started:
        with process:  # agents of a killed Ray hold its pipes for minutes: nobody reads them to their end
            process.kill()


def write_picture(path: Path, side: int = 12) -> None:
    """A PNG of noise that no file of another name or class has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(crc32("/".join(path.parts[-3:]).encode())).integers(
        0, 256, (side, side, 3), dtype=np.uint8
    )
    Image.fromarray(pixels).save(path)


def write_folder(root: Path, classes: int = 2, images: int = 10, side: int = 12) -> None:
    """A data set: a sub-folder a class."""
    for label in range(classes):
        for number in range(images):
            write_picture(root / f"class{label}" / f"{number}.png", side)


def mlflow_runs(kind: str | None = None) -> list[Run]:
    """The runs in MLflow: parents of a kind, or with None all children."""
    client = MlflowClient()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    runs = list(client.search_runs([experiment.experiment_id], max_results=1000))
    if kind is None:
        return [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    return [run for run in runs if run.data.tags.get("kind") == kind]
