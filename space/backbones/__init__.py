"""The networks that attention goes into, one family a file, and the backbone of a name."""

from collections.abc import Iterable
from functools import cache

from space.backbones.backbone import Backbone, Variant
from space.backbones.names import Name
from space.backbones.registry import BACKBONES, Family
from space.errors import UserError
from space.user_code import UserCode, find_code, full_name

# isort: off
# Each registers its families, which users see in this order.
from space.backbones import resnet, preresnet, wrn, resnext, imagenet, libraries, own_code  # noqa: F401
# isort: on

BACKBONES.are_ours()


def backbone(name: str) -> Backbone:
    """The backbone of this name, such as resnet164, imagenet/resnet50+conv_bias, torchvision/resnet50 or net.py:make.

    Behind @ stands a regular expression for the modules whose outputs are gated: torchvision/resnet18@layer.*bn2.
    +no_attention takes out what attention the network carries itself: timm/seresnet18+no_attention.

    Raises:
        UserError: there is none, or no place for gates in it.
    """
    parts = Name.parse(name)
    parts = parts._replace(network=full_name(parts.network))
    for family in BACKBONES.values():
        if family.takes(parts.network):
            return _made(family, parts)
    example = next(family.example for family in BACKBONES.values() if family.example)
    raise UserError(f"no backbone {parts.network!r}; there are {', '.join(BACKBONES)} (such as {example})")


def code_of(names: Iterable[str]) -> tuple[UserCode, ...]:
    """The user's code that makes the backbones of these names; what is installed is none.

    Raises:
        UserError: a file that is not there any more.
    """
    networks = (Name.parse(name).network for name in names)
    found = dict.fromkeys(find_code(network) for network in networks if ":" in network)
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


@cache
def _made(family: Family, name: Name) -> Backbone:
    return family.backbone(name)


__all__ = ["BACKBONES", "Backbone", "Family", "Name", "Variant", "backbone", "chosen", "code_of"]
