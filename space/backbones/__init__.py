"""The networks that attention goes into, one family a file."""

import re
from collections.abc import Callable

from space.backbones.backbone import Backbone
from space.backbones.resnet import resnet
from space.errors import UserError

BACKBONES: dict[str, Callable[[int], Backbone]] = {"resnet": resnet}
"""Maker of each family's members from their depth."""


def backbone(name: str) -> Backbone:
    """The backbone of this name: a family and a depth, such as resnet164.

    Raises:
        UserError: an unknown family, or a depth that the family does not have.
    """
    match = re.fullmatch(r"([a-z]+)(\d+)", name)
    if match is None or match[1] not in BACKBONES:
        known = ", ".join(f"{family}DEPTH" for family in BACKBONES)
        raise UserError(f"no backbone {name!r}; there are {known} (such as resnet20)")
    return BACKBONES[match[1]](int(match[2]))


__all__ = ["BACKBONES", "Backbone", "backbone"]
