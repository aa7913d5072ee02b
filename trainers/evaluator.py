"""From (backbone, design, seed) to a training: what the engines hand to their workers."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from space.backbones import backbone as find_backbone
from space.build import build
from space.design import Design
from trainers.data import Data
from trainers.datasets import Source, load
from trainers.recipe import Recipe
from trainers.training import Training


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Makes trainings on one data set by one recipe; small, and the same in every process.

    Attributes:
        source: the data set; read once a process.
        recipe: how to train.
        device: cpu or cuda.
        threads: CPU threads of a training.
        weights: folder to write trained weights to; None for a search. With it a training learns
            from train and validation images and is judged once, on the test images.
    """

    source: Source
    recipe: Recipe
    device: str
    threads: int = 1
    weights: Path | None = None

    def __call__(self, backbone: str, design: Design, seed: int) -> Training:
        """A training that has not begun."""
        torch.set_num_threads(self.threads)
        device = torch.device(self.device)
        data = _data(self.source, device, self.threads)
        retraining = self.weights is not None
        if retraining:
            data = data.for_retraining()
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            network = build(design, find_backbone(backbone), len(data.classes), data.shape[0])
        return Training(
            network.to(device),
            data,
            self.recipe,
            seed,
            device,
            judge_each_epoch=not retraining,
            weights_path=self.weights / weights_name(backbone, design, seed) if self.weights else None,
        )


def weights_name(backbone: str, design: Design, seed: int) -> str:
    """File name of the weights of one retrained network."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", f"{backbone} {design}")
    return f"{readable}-seed{seed}.safetensors"


@lru_cache(maxsize=1)
def _data(source: Source, device: torch.device, threads: int) -> Data:
    workers = threads if device.type == "cuda" else 0  # on CPU the training itself keeps the threads busy
    return load(source).to(device, workers)
