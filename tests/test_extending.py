"""The files and the commands of docs/extending.md, on few images and for one epoch."""

import itertools
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.storage import Storage
from tests.pipelines.conftest import Search, empty_tracking, here, mlflow_runs, search

__all__ = ["empty_tracking", "here", "search"]  # fixtures

TEXT = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
MOST_LINES = {"lct.py": 20, "climb.py": 20, "little.py": 10, "chain.py": 10, "pathmnist.py": 15, "activations.py": 24}
FILES = dict(re.findall(r"As `(\w+\.py)`:\n\n```python\n(.*?)```", TEXT, re.DOTALL))
COMMANDS = re.findall(r"^    search (.*)$", TEXT, re.MULTILINE)
SHRUNK = {
    "profile": "--channels 1 --image-size 8",
    "compare": "--epochs 1 --seeds 2 --train-size 50 --engine local",
    "launch": "--epochs 1 --budget 3 --space tiny.toml --engine local",
}
"""What is typed behind a command so that it is quick."""


@pytest.fixture
def written(here: Path, registries: None) -> None:
    """The files of the document in the working directory, with images for its data set and a tiny space."""
    for name, text in FILES.items():
        (here / name).write_text(text)
    (here / "data").mkdir()
    draw, sizes = np.random.default_rng(0), {"train": 130, "val": 20, "test": 20}
    arrays: dict[str, Any] = {}
    for split, n in sizes.items():
        arrays[f"{split}_images"] = draw.integers(0, 256, (n, 8, 8, 3), np.uint8)
        arrays[f"{split}_labels"] = (np.arange(n) % 9).astype(np.uint8)[:, None]
    np.savez(here / "data" / "pathmnist.npz", **arrays)


def test_the_document_is_short_and_so_is_each_file() -> None:
    assert len(TEXT.splitlines()) < 230
    assert FILES.keys() == MOST_LINES.keys()
    assert TEXT.count("```python") == len(FILES)
    for name, text in FILES.items():
        assert sum(bool(line.strip()) for line in text.splitlines()) <= MOST_LINES[name], name
        assert any(name in command for command in COMMANDS), name


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_run_and_use_what_is_new(search: Search, here: Path, command: str) -> None:
    typed = shlex.split(command)
    attention = "lct" if "lct.py" in typed else "se"
    (here / "tiny.toml").write_text(f'attention = ["none", "{attention}"]')
    ended = search(*typed, *SHRUNK[typed[0]].split(), "--json")
    assert ended.code == 0, ended.err
    if typed[0] == "profile":
        assert ended.json["design"] == typed[1]
        return
    if typed[0] == "compare":
        assert [result["design"] for result in ended.json["results"]] == ["none", "lct", "lct:depth=2", "se"]
        return
    record = Storage("runs").read(ended.json["study"])
    settings, given = record.attributes["settings"], dict(itertools.pairwise(typed))
    assert {str(trial.job.design) for trial in record.trials if trial.trained} == {"none", attention}
    assert settings["dataset"] == given.get("--dataset", "hard-digits")
    assert settings["num_classes"] == (9 if "--dataset" in given else 10)
    (backbone,) = settings["backbones"]
    assert backbone.endswith(given.get("--backbone", "resnet20") + ("@1|4|7" if "--gate-at" in given else ""))
    assert settings["objectives"] == ["val_accuracy", *given.get("--objectives", "accuracy,params,fps").split(",")[1:]]
    (run,) = mlflow_runs("search")
    assert {f"front_{name}" for name in settings["objectives"][1:]} <= run.data.metrics.keys()
    if "activations.py" in typed:
        sizes = {row["activations"] for row in ended.json["activations"]}
        shown = search("front", ended.json["study"], "--plugin", "activations.py")
        assert "accuracy against activations an image" in shown.out
        limit = f"activations<={min(sizes)}"  # plain's
        few = search(*typed, *SHRUNK["launch"].split(), "--study", "few", "--limit", limit, "--dry-run", "--json")
        assert few.json["feasible"] < few.json["designs"]
    assert settings["plugins"].keys() == ({given["--plugin"]} if "--plugin" in given else set())
    assert run.data.tags["sampler"] == given.get("--sampler", "front")
