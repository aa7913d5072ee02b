"""From (backbone, design, seed) to a training: what the engines hand to their workers."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from space.backbones import backbone as find_backbone
from space.build import build, pretrained_parameters
from space.design import Design
from space.plugins import Plugin
from space.weights import read_weights
from trainers.data import Data
from trainers.datasets import Source, load
from trainers.recipe import Recipe
from trainers.training import Judge, Training


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Makes trainings on one data set by one recipe; small, and the same in every process.

    Attributes:
        source: the data set; read once a process.
        recipe: how to train.
        device: cpu or cuda.
        threads: CPU threads of a training.
        judge: on which images a network is judged, and when.
        learn_from_val: whether the validation images are learnt from, too.
        weights_into: folder to write trained weights to; None for nowhere.
        weights: file of the pretrained weights to begin with; None for none.
        plugins: loaded in every process that has this evaluator.
    """

    source: Source
    recipe: Recipe
    device: str
    threads: int = 1
    judge: Judge = "val"
    learn_from_val: bool = False
    weights_into: Path | None = None
    weights: Path | None = None
    plugins: tuple[Plugin, ...] = ()

    def __call__(self, backbone: str, design: Design, seed: int) -> Training:
        """A training that has not begun."""
        torch.set_num_threads(self.threads)
        device = torch.device(self.device)
        data = _data(self.source, device, self.threads)
        if self.learn_from_val:
            data = data.with_val_in_train()
        network = fresh_network(backbone, design, seed, len(data.classes), data.shape[0], self.weights).to(device)
        pretrained = (
            pretrained_parameters(network, find_backbone(backbone).classifier) if self.weights is not None else []
        )
        path = None
        if self.weights_into is not None:
            path = self.weights_into / design_folder(backbone, design) / weights_name(seed)
        return Training(
            network,
            data,
            self.recipe,
            seed,
            device,
            judge=self.judge,
            weights_path=path,
            pretrained=pretrained,
        )


def fresh_network(
    backbone: str, design: Design, seed: int, num_classes: int, in_channels: int, weights: Path | None = None
) -> nn.Module:
    """The network that a training under this seed begins with, on the CPU."""
    state = None if weights is None else read_weights(weights)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return build(design, find_backbone(backbone), num_classes, in_channels, state)


def trained_network(
    folder: Path, backbone: str, design: Design, seed: int, num_classes: int, in_channels: int
) -> nn.Module:
    """The network with the weights that a training left in `weights_into`, on the CPU."""
    network = build(design, find_backbone(backbone), num_classes, in_channels)
    network.load_state_dict(load_file(folder / design_folder(backbone, design) / weights_name(seed)))
    return network


def design_folder(backbone: str, design: Design) -> str:
    """Name of a retrained design's folder; of a user's own network without the folders of its file."""
    short = re.sub(r"^.*/(?=[^/]+\.py:)", "", backbone)
    return re.sub(r"[^A-Za-z0-9]+", "-", f"{short} {design}")


def weights_name(seed: int) -> str:
    """File name of the weights under a seed; the first seed's are the design's."""
    return "model.safetensors" if seed == 0 else f"model-seed{seed}.safetensors"


@lru_cache(maxsize=1)
def _data(source: Source, device: torch.device, threads: int) -> Data:
    workers = threads if device.type == "cuda" else 0  # on CPU the training itself keeps the threads busy
    return load(source).to(device, workers)
