"""The commands of docs/tutorial.md, one after the other, on few images and for one epoch."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipelines.conftest import Search, empty_tracking, here, search

__all__ = ["empty_tracking", "here", "search"]  # fixtures

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.md"
SHORTER = {"--epochs": "1", "--seeds": "2", "--budget": "2"}
PLAIN = "torchvision-resnet18-none/model.safetensors"


def commands() -> list[list[str]]:
    """Each `search ...` of the tutorial, as typed."""
    lines = re.findall(r"^    search (.*)$", TUTORIAL.read_text(), re.MULTILINE)
    return [shlex.split(line) for line in lines]


def shortened(arguments: list[str]) -> list[str]:
    """The same command on few images, for one epoch."""
    short = [SHORTER.get(before, word) for before, word in zip(["", *arguments], arguments, strict=False)]
    if short[0] in ("compare", "launch"):
        short += ["--train-size", "48", "--engine", "local"]
    return short


def test_the_tutorial_names_each_step() -> None:
    steps = [arguments[0] for arguments in commands()]

    assert [step for step in dict.fromkeys(steps) if step != "front"] == [
        "profile", "compare", "launch", "retrain", "export", "predict",
    ]  # fmt: skip


@pytest.mark.long
def test_the_commands_of_the_tutorial_run(search: Search, here: Path) -> None:
    patches, python = re.findall(r"```python\n(.*?)```", TUTORIAL.read_text(), re.DOTALL)
    (here / "patches.py").write_text(patches)
    subprocess.run([sys.executable, "patches.py"], cwd=here, check=True)
    assert len(list((here / "patches").iterdir())) == 8

    for arguments in commands():
        typed = shortened(arguments)
        if "IMAGENET1K_V1" in typed:  # needs a network; the weights of the plain network stand in for them
            (weights,) = (here / "runs" / "patches").glob(f"retrain-*/{PLAIN}")
            typed[typed.index("IMAGENET1K_V1")] = str(weights)
            typed += ["--batch-size", "16", "--epochs", "1"]
        ended = search(*typed)
        assert ended.code == 0, (typed, ended.err)
        if typed[0] == "profile":
            assert ("layer1.0.bn2" in ended.out) is ("--gate-at" not in typed)
            assert "layer4.1.bn2" in ended.out
        if typed[0] == "compare":
            assert "difference" in ended.out
        if typed[0] == "predict":
            assert all(f"{Path(image).name}" in ended.out for image in typed[2:])
    namespace: dict[str, object] = {}
    exec(python, namespace)
