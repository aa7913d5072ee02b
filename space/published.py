"""Pretrained weights by name: torchvision's, timm's, or a file's, and what images they expect."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from space.backbones.libraries import TIMM, TORCHVISION, import_timm
from space.backbones.names import Name
from space.errors import UserError, first_line
from space.files import absolute, written_whole
from space.saved import DESCRIPTION

FILES = (".safetensors", ".pt", ".pth", ".bin")


@dataclass(frozen=True)
class TrainedOn:
    """What images a network was trained on.

    Attributes:
        mean: that was subtracted from pixels of 0 to 1, by channel.
        std: that they were divided by.
        side: of the square image, in pixels.
        shorter_side: of the image that the square was the centre of.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    side: int
    shorter_side: int


@dataclass(frozen=True)
class Pretrained:
    """Weights in a file.

    Attributes:
        path: of the file.
        images: that they expect; None where nobody knows.
    """

    path: Path
    images: TrainedOn | None


def find_pretrained(text: str, backbone: str, folder: Path) -> Pretrained:
    """The weights of a file, or of this name, fetched once.

    Args:
        text: a file, or what torchvision or timm calls some weights of the backbone: IMAGENET1K_V1, a1_in1k, default.
        backbone: its name.
        folder: that fetched weights are kept in.

    Raises:
        UserError: no such file or name, or weights that cannot be fetched.
    """
    network = Name.parse(backbone).network
    if text.endswith(FILES):
        path = absolute(text)
        if not path.is_file():
            raise UserError(f"--weights {text}: no such file")
        return Pretrained(path, _images_beside(path) or _images_of(network))
    if network.startswith(TORCHVISION):
        return _torchvision(text, network, folder)
    if network.startswith(TIMM):
        return _timm(text, network, folder)
    raise UserError(f"--weights {text}: {backbone} has no weights of its own; name a file ({', '.join(FILES)})")


def _images_beside(path: Path) -> TrainedOn | None:
    """What a design.json of ours says beside its weights."""
    beside = path.with_name(DESCRIPTION)
    if not beside.is_file():
        return None
    try:
        described = json.loads(beside.read_text())
        side = int(described["shape"][1])
        return TrainedOn(tuple(described["mean"]), tuple(described["std"]), side, described.get("shorter_side") or side)
    except (OSError, ValueError, LookupError, TypeError):
        return None  # somebody else's design.json


def _images_of(network: str) -> TrainedOn | None:
    """What the published weights of a library's network expect."""
    if network.startswith(TORCHVISION):
        from torchvision import models

        enum = models.get_model_weights(network.removeprefix(TORCHVISION))
        return _torchvision_images(enum["DEFAULT"]) if len(enum) else None
    return _timm_images(network) if network.startswith(TIMM) else None


def _torchvision(text: str, network: str, folder: Path) -> Pretrained:
    from torchvision import models

    member = network.removeprefix(TORCHVISION)
    enum = models.get_model_weights(member)
    if text.upper() not in enum.__members__:
        raise UserError(f"--weights {text}: {network} has {', '.join(enum.__members__) or 'none'}; or name a file")
    weights = enum[text.upper()]
    path = folder / "weights" / f"torchvision-{member}-{weights.name}.safetensors"
    if not path.exists():
        try:
            state = weights.get_state_dict(progress=False, check_hash=True)
        except Exception as error:  # urllib's, socket's and torch.hub's
            raise UserError(_not_fetched(text, weights.url, error)) from None
        _write(state, path)
    return Pretrained(path, _torchvision_images(weights))


def _torchvision_images(weights: Any) -> TrainedOn:
    transforms = weights.transforms()
    side = int(transforms.crop_size[0])
    return TrainedOn(tuple(transforms.mean), tuple(transforms.std), side, int(transforms.resize_size[0]))


def _timm(text: str, network: str, folder: Path) -> Pretrained:
    timm = import_timm(network)
    member = network.removeprefix(TIMM)
    base, tag = member.partition(".")[0], text
    tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{base}.*")]
    if text.lower() == "default":
        tag = member.partition(".")[2] or timm.models.get_pretrained_cfg(member).tag
    if tag not in tags:
        raise UserError(f"--weights {text}: {network} has default, {', '.join(tags) or 'none'}; or name a file")
    path = folder / "weights" / f"timm-{base}.{tag}.safetensors"
    if not path.exists():
        try:
            state = timm.create_model(f"{base}.{tag}", pretrained=True).state_dict()
        except Exception as error:  # huggingface_hub's many
            raise UserError(_not_fetched(text, f"timm/{base}.{tag}", error)) from None
        _write(state, path)
    return Pretrained(path, _timm_images(f"{TIMM}{base}.{tag}"))


def _timm_images(network: str) -> TrainedOn | None:
    timm = import_timm(network)
    config = timm.models.get_pretrained_cfg(network.removeprefix(TIMM))
    if config is None:
        return None
    side = int(config.input_size[-1])
    return TrainedOn(tuple(config.mean), tuple(config.std), side, round(side / config.crop_pct))


def _write(state: dict[str, torch.Tensor], path: Path) -> None:
    with written_whole(path) as partial:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, partial)


def _not_fetched(text: str, where: str, error: Exception) -> str:
    reason = first_line(error) or type(error).__name__
    return f"--weights {text}: {where} could not be fetched ({reason}); fetch them elsewhere and name the file"
