"""A trained network from the folder that `search retrain` or `search export` wrote: weights, and what they are for."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from space.backbones import backbone
from space.build import build
from space.design import Design
from space.errors import UserError, first_line
from space.identity import Identity
from space.normalisation import normaliser

DESCRIPTION, WEIGHTS, PROGRAM = "design.json", "model.safetensors", "model.pt2"
"""Files of such a folder; an exported one has the program of torch.export, too."""


def load(path: str | Path) -> nn.Module:
    """A trained network on the CPU, in eval mode.

    Args:
        path: the folder, or its design.json or a file of weights in it.

    Shape:
        images (B, C, H, W), which are (pixels / 255 - mean) / std as design.json has them -> logits (B, classes).

    Raises:
        UserError: no such folder, weights that do not fit, or a backbone whose code is not there any more.
    """
    return Saved.read(Path(path)).network()


@dataclass(frozen=True)
class Saved:
    """A trained network on disk.

    Attributes:
        weights: its file of tensors.
        described: all that the design.json beside it says.
        backbone: name.
        design: of its gates.
        classes: their names, in the order of the outputs.
        shape: channels, height and width of an image.
        mean: by channel, of pixels scaled to 0..1; to normalise with.
        std: likewise.
    """

    weights: Path
    described: dict[str, Any]
    backbone: str
    design: Design
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def read(cls, path: Path) -> "Saved":
        """What is at a path: a folder, its design.json, or a file of weights in it; the weights are not read yet.

        Raises:
            UserError: no such folder.
        """
        path = path.expanduser()
        weights = path / WEIGHTS if path.is_dir() else path
        if path.name == DESCRIPTION:
            weights = path.with_name(WEIGHTS)
        description = weights.with_name(DESCRIPTION)
        if weights.suffix != ".safetensors" or not weights.is_file() or not description.is_file():
            raise UserError(
                f"{path} is no folder with {DESCRIPTION} and {WEIGHTS}; `search retrain` and `search export` write such"
            )
        try:
            table = json.loads(description.read_text())
            channels, height, width = map(int, table["shape"])
            return cls(
                weights=weights,
                described=table,
                backbone=str(table["backbone"]),
                design=Design.from_dict(table["fields"]),
                classes=tuple(map(str, table["classes"])),
                shape=(channels, height, width),
                mean=tuple(map(float, table["mean"])),
                std=tuple(map(float, table["std"])),
            )
        except UserError as error:
            raise UserError(f"{description}: {error}; if a plug-in registers it, load that first") from None
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise UserError(
                f"{description} is not as `search retrain` wrote it ({type(error).__name__}: {first_line(error)}); "
                "retrain or export again"
            ) from None

    @property
    def folder(self) -> Path:
        """That it is in."""
        return self.weights.parent

    def network(self) -> nn.Module:
        """The network with its weights, on the CPU, in eval mode.

        Raises:
            UserError: code or weights that are not there any more, do not fit, or are another training's.
        """
        try:
            with torch.random.fork_rng([]):  # what is drawn here is overwritten
                network = build(self.design, backbone(self.backbone), len(self.classes), self.shape[0])
        except UserError as error:
            instead = "bring its code back, by --plugin if it was a plug-in"
            if (self.folder / PROGRAM).is_file():
                instead = f"bring its code back, or use {PROGRAM}, which needs none (torch.export.load)"
            raise UserError(f"{self.folder}: {error}; {instead}") from None
        state = self._state()
        self._check_identity()
        own = network.state_dict()
        wrong = [n for n in own | state if n not in own or n not in state or own[n].shape != state[n].shape]
        if wrong:
            others = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            raise UserError(
                f"{self.weights} does not fit {self.backbone} {self.design}: {wrong[0]}{others}; "
                f"take the {DESCRIPTION} that was written with it"
            )
        network.load_state_dict(state)
        return network.eval()

    def normalise(self, images: Tensor) -> Tensor:
        """From images (B, C, H, W) of uint8 to what the network sees: (pixels / 255 - mean) / std."""
        return normaliser(self.mean, self.std)(images)

    def _check_identity(self) -> None:
        """Make sure that weights and description are of one study and design; the code of a backbone may have moved."""
        whose = Identity.read(self.weights)
        same = whose is None or whose.design == str(self.design)
        if not same or (None if whose is None else whose.study) != self.described.get("study"):
            raise UserError(
                f"{self.weights} is not of the training that the {DESCRIPTION} beside it describes; "
                f"take the {DESCRIPTION} that was written with it, or retrain"
            )

    def _state(self) -> dict[str, Tensor]:
        try:
            state: dict[str, Tensor] = load_file(self.weights)
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"{self.weights} cannot be read ({first_line(error)}); copy, export or retrain it again"
            ) from None
        return state
