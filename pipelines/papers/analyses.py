"""What is done with the networks of an experiment once they are trained: DIANet's Figures 5 and 6."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipelines.papers.experiments import Analysis
from pipelines.papers.figures import draw_gradients, draw_integration
from pipelines.terminal.formats import file_name
from space.backbones import backbone
from space.choices import Candidate
from space.files import write_whole
from trainers.data import Data
from trainers.evaluator import fresh_network, trained_network
from trainers.gradients import stage_gradients
from trainers.images import Images
from trainers.integration import dia_states, feature_integration

BATCH = 128
"""Images that an analysis looks at, as many as a training step of the paper."""


def integration(
    networks: Mapping[str, Candidate],
    seeds: Sequence[int],
    weights: Path,
    data: Data,
    device: str,
    folder: Path,
    study: str,
) -> dict[str, Any]:
    """Feature integration of each network with DIA (Figure 5): writes a picture for each seed.

    Args:
        networks: trained ones.
        seeds: that all were trained under.
        weights: folder of the weights.
        data: that they were trained on.
        device: cpu or cuda.
        folder: to write into.
        study: uid of the study that trained them.

    Returns:
        By network and seed, for each stage the rows that `feature_integration` gives, up to n = t - 1.
    """
    images, _ = _batch(data, data.test, device)
    found: dict[str, Any] = {}
    for name, (on, design) in networks.items():
        found[name] = {}
        for seed in seeds:
            network = trained_network(weights, on, design, seed, len(data.classes), data.shape[0], study).to(device)
            states = dia_states(network, backbone(on), images)
            heat = {s: feature_integration(h, threads=-1).numpy() for s, h in states.items() if len(h) > 1}
            title = f"{name}, seed {seed}: what each layer's gate tells about later ones"
            draw_integration(heat, title, folder / f"integration-{file_name(name)}-seed{seed}.png")
            found[name][seed] = {
                f"stage {stage + 1}": [[round(float(v), 4) for v in row if not np.isnan(v)] for row in values]
                for stage, values in heat.items()
            }
    return found


def gradients(
    networks: Mapping[str, Candidate],
    seeds: Sequence[int],
    weights: Path,
    data: Data,
    device: str,
    folder: Path,
    study: str,
) -> dict[str, Any]:
    """Gradients behind each stage (Figure 6), before and after training: writes pictures, of the first seed.

    Args and writing as in `integration`.

    Returns:
        By moment and network, for each stage and seed the mean and the variance of |gradient|.
    """
    images, labels = _batch(data, data.train, device)
    found: dict[str, Any] = {}
    for moment in ("before training", "after training"):
        found[moment], shown = {}, {}
        for name, (on, design) in networks.items():
            by_seed = []
            for seed in seeds:
                if moment == "before training":
                    network = fresh_network(on, design, seed, len(data.classes), data.shape[0])
                else:
                    network = trained_network(weights, on, design, seed, len(data.classes), data.shape[0], study)
                by_seed.append(stage_gradients(network.to(device), backbone(on), images, labels))
            shown[name] = [stage.numpy() for stage in by_seed[0]]
            found[moment][name] = {
                f"stage {stage + 1}": {
                    "mean": [float(of_seed[stage].mean()) for of_seed in by_seed],
                    "variance": [float(of_seed[stage].var()) for of_seed in by_seed],
                }
                for stage in range(len(by_seed[0]))
            }
        draw_gradients(shown, f"|gradient| behind each stage, {moment}", folder / f"gradients-{file_name(moment)}.png")
    return found


def analyse(
    kind: Analysis,
    networks: Mapping[str, Candidate],
    seeds: Sequence[int],
    weights: Path,
    data: Data,
    into: Path,
    study: str,
) -> dict[str, Any]:
    """Do this analysis, or read it if the same one is there already.

    Args:
        kind: which.
        networks: trained ones.
        seeds: that all were trained under.
        weights: folder of the weights.
        data: that they were trained on.
        into: folder for pictures and numbers.
        study: uid of the study that trained them.
    """
    named = {name: f"{on} {design}" for name, (on, design) in networks.items()}
    of = {"study": study, "networks": named, "seeds": list(seeds)}
    path = into / f"{kind}.json"
    if path.exists() and (there := json.loads(path.read_text()))["of"] == of:
        found: dict[str, Any] = there["found"]
        return found
    into.mkdir(exist_ok=True)
    for picture in into.glob("*.png"):
        picture.unlink()  # of other networks or seeds
    device = "cuda" if torch.cuda.is_available() else "cpu"  # the driver's, whatever trained
    do = integration if kind == "integration" else gradients
    found = json.loads(json.dumps(do(networks, seeds, weights, data, device, into, study)))
    write_whole(path, json.dumps({"of": of, "found": found}, indent=1))
    return found


def _batch(data: Data, images: Images, device: str) -> tuple[Tensor, Tensor]:
    """Some images, normalised, on the device: drawn at random, since files come class by class."""
    on = torch.device(device)
    drawn = torch.randperm(len(images.labels), generator=torch.Generator().manual_seed(0))[:BATCH]
    pixels, labels = next(images.to(on, 0).batches(drawn, BATCH))
    return data.normaliser(on)(pixels), labels
