"""The networks that attention goes into, one family a file."""

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from space.backbones.backbone import Backbone, Options
from space.backbones.imagenet import imagenet_resnet, imagenet_resnext
from space.backbones.preresnet import preresnet
from space.backbones.resnet import resnet
from space.backbones.resnext import resnext
from space.backbones.wrn import wrn
from space.errors import UserError


class Family(NamedTuple):
    """Backbones that differ in numbers only.

    Attributes:
        form: how their names look; a word in capitals stands for a number.
        numbers: which numbers there are.
        example: a member.
        make: (options, the numbers of the name) -> the backbone.
    """

    form: str
    numbers: str
    example: str
    make: Callable[..., Backbone]

    def match(self, name: str) -> tuple[int, ...] | None:
        """The numbers of a member's name."""
        found = re.fullmatch(re.sub("[A-Z]+", r"(\\d+)", self.form), name)
        return None if found is None else tuple(map(int, found.groups()))


BACKBONES: tuple[Family, ...] = (
    Family("resnetDEPTH", "depth 9n+2", "resnet20", resnet),
    Family("preresnetDEPTH", "depth 9n+2", "preresnet164", preresnet),
    Family("wrnDEPTH-WIDTH", "depth 6n+4", "wrn52-4", wrn),
    Family("resnextDEPTH-GROUPSxCHANNELS", "depth 9n+2", "resnext101-8x32", resnext),
    Family("imagenet/resnetDEPTH", "depth 18, 26, 34, 50, 101, 152", "imagenet/resnet50", imagenet_resnet),
    Family(
        "imagenet/resnextDEPTH-GROUPSxCHANNELS", "depth 26, 50, 101, 152", "imagenet/resnext50-32x4", imagenet_resnext
    ),
)
"""The families; +conv_bias, +no_bn and +no_skip behind a name are its `Options`."""


@cache
def backbone(name: str) -> Backbone:
    """The backbone of this name, such as resnet164, wrn52-4 or imagenet/resnet50+conv_bias.

    Raises:
        UserError: an unknown family or option, or numbers that the family does not have.
    """
    member, *flags = name.split("+")
    for family in BACKBONES:
        numbers = family.match(member)
        if numbers is not None:
            try:
                return family.make(Options.parse(flags), *numbers)
            except UserError as error:
                if _exists(f"imagenet/{member}"):
                    error = UserError(f"{error}; there is imagenet/{member}")
                raise UserError(str(error) if repr(member) in str(error) else f"backbone {name!r}: {error}") from None
    known = ", ".join(family.form for family in BACKBONES)
    raise UserError(f"no backbone {name!r}; there are {known} (such as {BACKBONES[0].example})")


def _exists(name: str) -> bool:
    try:
        return backbone(name).name == name
    except UserError:
        return False


__all__ = ["BACKBONES", "Backbone", "Family", "Options", "backbone"]
