"""From (backbone, design, seed) to a training: what the engines hand to their workers."""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from space.backbones import backbone as find_backbone
from space.build import build, pretrained_parameters
from space.design import Design
from space.errors import UserError
from space.identity import Identity
from space.state import read_state
from space.user_code import UserCode
from trainers.allocator import keep_freed_memory
from trainers.data import Data
from trainers.datasets import read_data
from trainers.recipe import Recipe
from trainers.share import ALONE, Share
from trainers.source import Source
from trainers.spread import Spread
from trainers.training import Judge, Training

_MAKERS = "imagenet|torchvision|timm"
_PLAIN_NAME = re.compile(rf"(({_MAKERS})/)?(?!({_MAKERS})(-|$))[a-z0-9_+]+(-[0-9][a-z0-9_+]*)*")
"""Backbones that are told apart, also from the design behind them, when their slash is a dash: a design starts with a
letter, and so does what stands behind the first dash only if a maker stands before it."""
_DIGITS = 8
_MOST_LETTERS = 80


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Makes trainings on one data set by one recipe; small, and the same in every process.

    Attributes:
        source: the data set; read once a process.
        recipe: how to train.
        device: cpu or cuda.
        threads: CPU threads of a training.
        processes: that a training is spread over, each with a GPU of its own, or its part of the threads.
        judge: on which images a network is judged, and when.
        learn_from_val: whether the validation images are learnt from, too.
        weights_into: folder to write trained weights to; None for nowhere.
        study: uid of the study that they are written for.
        weights: file of the pretrained weights to begin with; None for none.
        code: the user's plug-ins and networks, loaded in every process that this evaluator is sent to.
    """

    source: Source
    recipe: Recipe
    device: str
    threads: int = 1
    processes: int = 1
    judge: Judge = "val"
    learn_from_val: bool = False
    weights_into: Path | None = None
    study: str = ""
    weights: Path | None = None
    code: tuple[UserCode, ...] = ()

    def __call__(self, backbone: str, design: Design, seed: int) -> Training | Spread:
        """A training that has not begun."""
        if self.processes == 1:
            return self.share_of(backbone, design, seed, ALONE, torch.device(self.device))
        return Spread(partial(self.share_of, backbone, design, seed), self.processes, self.device)

    def share_of(self, backbone: str, design: Design, seed: int, share: Share, device: torch.device) -> Training:
        """The share that a process has in it."""
        threads = max(1, self.threads // share.world)
        torch.set_num_threads(threads)
        keep_freed_memory()
        data = _data(self.source, device, threads)
        if self.learn_from_val:
            data = data.with_val_in_train()
        network = fresh_network(backbone, design, seed, len(data.classes), data.shape[0], self.weights).to(device)
        pretrained = (
            pretrained_parameters(network, find_backbone(backbone).classifier) if self.weights is not None else []
        )
        into = self.weights_into
        return Training(
            network,
            data,
            self.recipe,
            seed,
            device,
            judge=self.judge,
            weights_path=None if into is None else into / design_folder(backbone, design) / weights_name(seed),
            identity=Identity(study=self.study, backbone=backbone, design=str(design), seed=seed),
            pretrained=pretrained,
            share=share,
        )


def fresh_network(
    backbone: str, design: Design, seed: int, num_classes: int, in_channels: int, weights: Path | None = None
) -> nn.Module:
    """The network that a training under this seed begins with, on the CPU."""
    state = None if weights is None else read_state(weights)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return build(design, find_backbone(backbone), num_classes, in_channels, state)


def trained_network(
    folder: Path, backbone: str, design: Design, seed: int, num_classes: int, in_channels: int, study: str
) -> nn.Module:
    """The network with the weights that a training of this study left in `weights_into`, on the CPU.

    Raises:
        UserError: they are not there, or are another training's.
    """
    path = folder / design_folder(backbone, design) / weights_name(seed)
    wanted = Identity(study=study, backbone=backbone, design=str(design), seed=seed)
    if Identity.read(path) != wanted:
        raise UserError(f"{path} does not hold what this study trained as {wanted}; that is lost, or in another folder")
    network = build(design, find_backbone(backbone), num_classes, in_channels)
    network.load_state_dict(load_file(path))
    return network


def design_folder(backbone: str, design: Design) -> str:
    """Name of a trained design's folder, which no other backbone and design have.

    A name of words stays readable as it is; another, such as that of a user's file, is shortened and gets a digest.
    """
    if len(backbone) <= _MOST_LETTERS and _PLAIN_NAME.fullmatch(backbone):
        name = backbone.replace("/", "-")
    else:
        short = re.sub(r"^.*/(?=[^/]+\.py:)", "", backbone)
        digest = hashlib.sha256(backbone.encode()).hexdigest()[:_DIGITS]
        name = f"{re.sub('[^A-Za-z0-9]+', '-', short)[:_MOST_LETTERS]}~{digest}"
    return f"{name}-{design.dashed}"


def weights_name(seed: int) -> str:
    """File name of the weights under a seed; the first seed's are the design's."""
    return "model.safetensors" if seed == 0 else f"model-seed{seed}.safetensors"


@lru_cache(maxsize=1)
def _data(source: Source, device: torch.device, threads: int) -> Data:
    workers = threads if device.type == "cuda" else 0  # on CPU the training itself keeps the threads busy
    return read_data(source).to(device, workers)
