"""The places for gates in any network, with their stages, from what one forward pass showed."""

from collections.abc import Sequence

from space.backbones.patterns import how_to_name, named_places
from space.backbones.places import Place, found_places, is_normalised
from space.backbones.watched import Watched
from space.design import Layout, Stage
from space.errors import UserError
from space.gating import Site

MOST_STAGES = 9
"""A design names its stages by digits."""


def find_sites(watched: Watched, pattern: str | None = None) -> tuple[Site, ...]:
    """The places for gates, in the order of the forward pass.

    Args:
        watched: what a pass through the network showed.
        pattern: regular expression for the names of the modules whose outputs are gated; None for the last
            normalisation of each residual branch. Its groups tell the stages; without groups, and without a pattern,
            places of the same channels and size are a stage, or those of the same size where that gives too many.

    Raises:
        UserError: nothing is found, or what the pattern names is no place for a gate.
    """
    places, groups = (found_places(watched), None) if pattern is None else named_places(watched, pattern)
    if not places:
        raise UserError(f"no residual branch found; {how_to_name(watched)}")
    stages = _numbered(_sizes(places) if groups is None else groups)
    if len(set(stages)) > MOST_STAGES:
        most = f"{len(set(stages))} stages, and a design names at most {MOST_STAGES}"
        raise UserError(f"{most}; name fewer places with --gate-at PATTERN")
    bare = {stage for stage, (_, node) in zip(stages, places, strict=True) if not is_normalised(watched, node)}
    return tuple(
        Site(
            place.path,
            stage,
            channels=place.size[0],
            normalised=stage not in bare,
            channels_last=place.node.channel == 3,
            fused=_is_fused(watched, place.path),
        )
        for stage, place in zip(stages, places, strict=True)
    )


def _is_fused(watched: Watched, path: str) -> bool:
    """Whether the block around a module says that it adds by `gating.residual` what that returns, as ours do."""
    block, _, name = path.rpartition(".")
    return getattr(watched.modules.get(block), "fuses", None) == name


def layout_of(sites: Sequence[Site]) -> Layout:
    """Blocks and channels of each stage."""
    layout = []
    for stage in range(1 + max(site.stage for site in sites)):
        widths = [site.channels for site in sites if site.stage == stage]
        first, *more = (Stage(widths.count(width), width) for width in dict.fromkeys(widths))
        layout.append(first._replace(more=tuple(more)))
    return tuple(layout)


def _sizes(places: Sequence[Place]) -> Sequence[object]:
    """What tells the stages apart: channels, height and width, or without channels where that gives too many."""
    sizes = [place.size for place in places]
    return sizes if len(set(sizes)) <= MOST_STAGES else [size[1:] for size in sizes]


def _numbered(keys: Sequence[object]) -> list[int]:
    """The number of each key, counted from 0 in the order in which they first come."""
    order = list(dict.fromkeys(keys))
    return [order.index(key) for key in keys]
