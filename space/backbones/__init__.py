"""The networks that attention goes into, one family a file."""

import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import NamedTuple

from torch import nn

from space.backbones.backbone import Backbone, Options
from space.backbones.foreign import (
    TIMM,
    TORCHVISION,
    called,
    found_backbone,
    own_network,
    timm_network,
    torchvision_network,
)
from space.backbones.imagenet import imagenet_resnet, imagenet_resnext
from space.backbones.names import Name
from space.backbones.preresnet import preresnet
from space.backbones.resnet import resnet
from space.backbones.resnext import resnext
from space.backbones.wrn import wrn
from space.errors import UserError
from space.registry import Registry
from space.user_code import UserCode, find_code, full_name


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


def _admit(name: str, factory: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    if not name or set(name) & set(",:@"):
        raise UserError(f"backbone {name!r}: a name has at least one letter, and no comma, colon or @")
    return factory


FACTORIES: Registry[Callable[..., nn.Module]] = Registry("backbone", {}, _admit)
"""Makers of networks that plug-ins registered, by name, which comes before ours.

They take `num_classes` and `in_channels`, or neither.
"""


def backbone(name: str) -> Backbone:
    """The backbone of this name, such as resnet164, imagenet/resnet50+conv_bias, torchvision/resnet50 or net.py:make.

    Behind @ stands a regular expression for the modules whose outputs are gated: torchvision/resnet18@layer.*bn2.
    +no_attention takes out what attention the network carries itself: timm/seresnet18+no_attention.

    Raises:
        UserError: there is none, or no place for gates in it.
    """
    parts = Name.parse(name)
    return _backbone(parts._replace(network=full_name(parts.network)) if _is_named(parts.network) else parts)


def code_of(names: Iterable[str]) -> tuple[UserCode, ...]:
    """The user's code that makes the backbones of these names; what is installed is none.

    Raises:
        UserError: a file that is not there any more.
    """
    networks = (Name.parse(name).network for name in names)
    found = dict.fromkeys(find_code(network) for network in networks if _is_named(network))
    return tuple(code for code in found if code is not None)


def chosen(name: str, pattern: str | None = None, *, replace_attention: bool = False) -> Backbone:
    """The backbone that is meant by a name and what is typed beside it.

    Args:
        name: of the backbone.
        pattern: of the modules whose outputs are gated, if it is not in the name.
        replace_attention: take out what attention the network carries itself, if there is some.

    Raises:
        UserError: as `backbone`; or two patterns, or an empty one.
    """
    parts = Name.parse(name)
    if pattern is not None:
        if not pattern or parts.pattern:
            raise UserError(f"--gate-at {pattern!r}: one pattern is wanted, here or behind the @ of {name}")
        parts = parts._replace(pattern=pattern)
    if replace_attention and not parts.plain and backbone(str(parts)).own_attention:
        parts = parts._replace(plain=True)
    return backbone(str(parts))


def _is_named(network: str) -> bool:
    """Whether it is FILE.py:FACTORY or package.module:FACTORY."""
    return ":" in network and network not in FACTORIES


@cache
def _backbone(name: Name) -> Backbone:
    network, pattern, plain = name
    if network in FACTORIES:
        make = called(network, FACTORIES[network])
    elif network.startswith(TORCHVISION):
        make = torchvision_network(network)
    elif network.startswith(TIMM):
        make = timm_network(network)
    elif ":" in network:
        make = own_network(network)
    else:
        ours = _member(network)
        if not pattern and not plain:
            return ours
        make = ours.make
    return found_backbone(network, make, pattern or None, plain=plain)


def _member(name: str) -> Backbone:
    """The member of a family."""
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
    known = ", ".join([*(family.form for family in BACKBONES), *FACTORIES])
    raise UserError(
        f"no backbone {name!r}; there are {known} (such as {BACKBONES[0].example}), "
        f"{TORCHVISION}NAME, {TIMM}NAME, FILE.py:FACTORY and package.module:FACTORY"
    )


def _exists(name: str) -> bool:
    try:
        return backbone(name).name == name
    except UserError:
        return False


__all__ = ["BACKBONES", "FACTORIES", "Backbone", "Family", "Name", "Options", "backbone", "chosen", "code_of"]
