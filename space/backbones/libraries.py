"""The networks of torchvision and of timm, by the names that these give them."""

import difflib
from typing import Any

from torch import nn

from space.backbones.backbone import Make
from space.backbones.registry import found
from space.errors import UserError, first_line

TORCHVISION, TIMM = "torchvision/", "timm/"
SHOWN = 3
"""Names in an error."""
AUXILIARY = ("googlenet", "inception_v3")
"""Of torchvision's networks those that return more than the logits in training, unless they are told not to."""
WITHOUT_AUXILIARY: dict[str, Any] = {"aux_logits": False, "init_weights": False}


@found(f"{TORCHVISION}NAME", names=f"{TORCHVISION}[^:]*")
def torchvision_network(name: str) -> Make:
    """Maker of torchvision's network of this name.

    Raises:
        UserError: there is none.
    """
    from torchvision import models

    member = name.removeprefix(TORCHVISION)
    known = models.list_models(module=models)
    if member not in known:
        raise UserError(f"no backbone {name!r}; torchvision has {_nearest(member, known)}")

    def make(in_channels: int, num_classes: int) -> nn.Module:
        more = WITHOUT_AUXILIARY if member in AUXILIARY else {}
        network: nn.Module = models.get_model(member, weights=None, num_classes=num_classes, **more)
        return network

    return make


@found(f"{TIMM}NAME", names=f"{TIMM}[^:]*")
def timm_network(name: str) -> Make:
    """Maker of timm's network of this name.

    Raises:
        UserError: there is none, or no timm.
    """
    timm = import_timm(name)
    member = name.removeprefix(TIMM)
    if not timm.is_model(member):
        raise UserError(f"no backbone {name!r}; timm has {_nearest(member, timm.list_models())}")
    try:
        timm.models.get_pretrained_cfg(member)
    except RuntimeError as error:
        raise UserError(f"no backbone {name!r}: {first_line(error)}") from None

    def make(in_channels: int, num_classes: int) -> nn.Module:
        network: nn.Module = timm.create_model(member, pretrained=False, num_classes=num_classes, in_chans=in_channels)
        return network

    return make


def import_timm(what: str) -> Any:
    """The package timm.

    Raises:
        UserError: it is not installed.
    """
    try:
        import timm
    except ImportError:
        raise UserError(f"{what} needs timm: pip install 'attention-search[timm]'") from None
    return timm


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, SHOWN, 0.5) or known[:SHOWN]
    return f"{', '.join(near)} and {len(known) - len(near)} more"
