"""Places for gates that a user names, by a regular expression for the paths of modules."""

import re
from collections.abc import Sequence

from space.backbones.branches import residual_branches
from space.backbones.places import Place
from space.backbones.watched import Watched
from space.errors import UserError

SHOWN = 8
"""Names in an error."""


def named_places(watched: Watched, pattern: str) -> tuple[list[Place], list[object] | None]:
    """What a pattern names, in the order of the pass, and what its groups matched, if it has some.

    Raises:
        UserError: it names nothing, or what is no place for a gate, or groups together what differs in size.
    """
    if not pattern.isprintable():
        raise UserError(f"--gate-at {pattern!r}: it must be printable, on one line")
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"--gate-at {pattern}: no regular expression ({error})") from None
    matches = {path: match for path in watched.modules if (match := compiled.fullmatch(path))}
    if not matches:
        raise UserError(f"--gate-at {pattern}: no module has such a name; {how_to_name(watched)}")
    for path in matches:
        nodes = watched.outputs.get(path, [])
        if len(nodes) != 1:
            says = "runs several times in a forward pass" if nodes else "returns no tensor in a forward pass"
            raise UserError(f"--gate-at {pattern}: {path} {says}; a gate needs a module that runs once")
        if not watched.is_map(nodes[0]):
            raise UserError(f"--gate-at {pattern}: {path} returns {_times(nodes[0].shape)}, no map (B, C, H, W)")
    _check_once(watched, pattern, [Place(path, watched.outputs[path][0]) for path in matches])
    places = [Place(path, nodes[0]) for path, nodes in watched.outputs.items() if path in matches]
    if not compiled.groups:
        return places, None
    groups: list[object] = [matches[place.path].groups() for place in places]
    _check_sizes(pattern, places, groups)
    return places, groups


def _check_once(watched: Watched, pattern: str, places: Sequence[Place]) -> None:
    """Make sure that no branch gets two gates; of branches in each other the innermost counts."""
    branches = sorted(residual_branches(watched), key=lambda branch: branch.inside.bit_count())
    first: dict[object, Place] = {}
    for place in places:
        bit = 1 << place.node.number
        owner = next((branch.inside for branch in branches if branch.inside & bit), bit)
        there = first.setdefault(owner, place)
        if there is not place:
            raise UserError(
                f"--gate-at {pattern}: {there.path} and {place.path} are in one branch, which takes one gate; "
                "narrow the pattern"
            )


def _check_sizes(pattern: str, places: Sequence[Place], groups: Sequence[object]) -> None:
    """Make sure that the places of a stage, which the groups of the pattern tell, have as many pixels."""
    firsts: dict[object, tuple[int, int, int]] = {}
    for place, group in zip(places, groups, strict=True):
        first = firsts.setdefault(group, place.size)
        if first[1:] != place.size[1:]:
            raise UserError(
                f"--gate-at {pattern}: {place.path} returns {_times(place.size)} and others of its stage "
                f"{_times(first)}; let the pattern's groups tell them apart, or leave the groups out"
            )


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def how_to_name(watched: Watched) -> str:
    """What to do where no place is found or named: the end of an error."""
    maps = [
        path
        for path, (node, *_) in watched.outputs.items()
        if watched.runs_once(path) and watched.is_map(node) and node.channel == 1
    ]
    if not maps:
        return "none of its modules returns a feature map (B, C, H, W)"
    return (
        "name the modules whose outputs are gated with --gate-at PATTERN, a regular expression for some of "
        + ", ".join([*maps[:SHOWN], *(["..."] if len(maps) > SHOWN else [])])
    )
