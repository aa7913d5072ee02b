"""A user's networks and plug-ins reach a worker that does not see their files, with all that they import."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from space.backbones import backbone, code_of
from space.design import Design
from space.user_code import load_plugins
from trainers.evaluator import Evaluator
from trainers.recipe import recipe
from trainers.source import Source

NETWORK = """
from torch import nn
from parts.block import Block

def make(num_classes):
    from layers import head
    return nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), Block(8), *head(8, num_classes))
"""
BLOCK = """
import torch
from torch import nn
from layers import norm

class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, channels, 3, padding=1), norm(channels)

    def forward(self, x):
        return torch.relu(x + self.norm(self.conv(x)))
"""
LAYERS = """
from torch import nn
norm = nn.BatchNorm2d
def head(channels, num_classes): return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes)
"""
ATTENTION = """
import torch
from torch import nn
from space.attention import Excitation, register
from layers import start

@register("rise")
class Rise(Excitation):
    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), start))

    def forward(self, pooled):
        return self.weight * pooled

    def hold(self):
        nn.init.zeros_(self.weight)
        return 0.0
"""
WORKER = """
import pickle, sys
evaluate, names = pickle.load(sys.stdin.buffer)
from space.backbones import backbone
from space.design import Design
print([site.path for site in backbone(names[0]).sites])
for name in names:
    training = evaluate(name, Design("rise"), 0)
    print(training.step()["val_accuracy"], len(training.state_dict()["network"]))
"""


@pytest.mark.usefixtures("registries")
def test_networks_and_plugins_travel_to_a_worker_without_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"network/net.py": NETWORK, "network/parts/block.py": BLOCK, "network/layers.py": LAYERS}
    files |= {"attention/rise.py": ATTENTION, "attention/layers.py": "start = 0.5", "elsewhere/nothing.py": ""}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path / "network")
    plugins = load_plugins([tmp_path / "attention" / "rise.py"])
    names = [backbone("net.py:make").name, "net:make"]
    source = Source(name="digits", train_size=50)
    evaluate = Evaluator(source=source, recipe=recipe("digits"), device="cpu", code=(*plugins, *code_of(names)))
    here = evaluate(names[0], Design("rise"), 0)
    sent = pickle.dumps((evaluate, names))
    shutil.rmtree("parts")
    for name in files:
        (tmp_path / name).unlink(missing_ok=True)

    ended = subprocess.run(
        [sys.executable, "-c", WORKER],
        input=sent,
        capture_output=True,
        check=True,
        cwd=tmp_path / "elsewhere",
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    sites, *trained = ended.stdout.decode().splitlines()
    assert sites == "['1.norm']"
    tensors = len(here.state_dict()["network"])
    assert trained == [f"{here.step()['val_accuracy']} {tensors}"] * 2
