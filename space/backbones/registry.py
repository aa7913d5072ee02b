"""The registry of backbones: families that say which names are theirs, and make the backbone of such a name.

Of a declared family, a function knows where the members' places for gates are; of a found one, it makes networks alone.
What a plug-in registers, a class or function that makes a network, is a found family of one.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from space.backbones.backbone import Backbone, Make, Variant
from space.backbones.factories import called
from space.backbones.finding import found_backbone
from space.backbones.names import Name
from space.errors import UserError
from space.registry import Registry, taken

Declare = TypeVar("Declare", bound=Callable[..., Backbone])
FindMaker = TypeVar("FindMaker", bound=Callable[[str], Make])


@dataclass(frozen=True)
class Family:
    """Backbones whose names look alike.

    Attributes:
        names: regular expression of their networks' names.
        backbone: from such a name to the backbone.
        numbers: what the words in capitals stand for in the form of the names.
        example: a member to show; empty if that needs more than our own code.
    """

    names: str
    backbone: Callable[[Name], Backbone]
    numbers: str = ""
    example: str = ""

    def takes(self, network: str) -> bool:
        """Whether the name of a network is one of theirs."""
        return re.fullmatch(self.names, network) is not None


def _admit(name: str, part: Any) -> Family:
    if isinstance(part, Family):
        return part
    if not name or set(name) & set(",:@"):
        raise UserError(f"backbone {name!r}: a name has at least one letter, and no comma, colon or @")
    if any(family.takes(name) for family in BACKBONES.values()):
        raise UserError(taken("backbone", name))
    make = called(name, part)
    return Family(re.escape(name), lambda name: _with_places_found(name, make))


BACKBONES: Registry[Family] = Registry("backbone", {}, _admit)
"""Families by the form of their names, in which a word in capitals stands for what differs.

Plug-ins register a class or function that makes a network, and takes `num_classes` and `in_channels`, or neither.
"""


def declared(form: str, *, numbers: str, example: str) -> Callable[[Declare], Declare]:
    """Decorator: from `Variant` and the numbers of a name, the function makes the backbone, with its places.

    Args:
        form: of the names; a word in capitals stands for a number.
        numbers: which there are.
        example: a member.
    """
    digits = r"(\d+)".join(map(re.escape, re.split("[A-Z]{2,}", form)))

    def add(declare: Declare) -> Declare:
        def backbone(name: Name) -> Backbone:
            ours = _member(declare, digits, name.network)
            return _with_places_found(name, ours.make) if name.pattern or name.plain else ours

        BACKBONES.register(form)(Family(rf"{digits}(\+[^+]*)*", backbone, numbers, example))
        return declare

    return add


def found(form: str, *, names: str) -> Callable[[FindMaker], FindMaker]:
    """Decorator: from the name of a network, the function finds what makes it; its places are found by watching it.

    Args:
        form: of the names.
        names: regular expression of all of them.
    """

    def add(find: FindMaker) -> FindMaker:
        BACKBONES.register(form)(Family(names, lambda name: _with_places_found(name, find(name.network))))
        return find

    return add


def _with_places_found(name: Name, make: Make) -> Backbone:
    return found_backbone(name.network, make, name.pattern or None, plain=name.plain)


def _member(declare: Callable[..., Backbone], digits: str, name: str) -> Backbone:
    """The member of a declared family; whatever is wrong with it is told with its name."""
    member, *flags = name.split("+")
    numbers = re.fullmatch(digits, member)
    assert numbers
    try:
        return declare(Variant.parse(flags), *map(int, numbers.groups()))
    except UserError as error:
        says = f"{error}{_larger(member)}"
        raise UserError(says if repr(member) in says else f"backbone {name!r}: {says}") from None


def _larger(member: str) -> str:
    """The end of an error: of what there is for ImageNet under the same name."""
    name = Name(f"imagenet/{member}")
    for family in BACKBONES.values():
        if family.takes(name.network):
            with suppress(UserError):
                return f"; there is {family.backbone(name).name}"
    return ""
