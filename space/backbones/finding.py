"""Backbones of which there is nothing but a network: all that is to know of them is found by watching a forward pass.

So are their places for gates, unless a pattern names them (`sites`), their own attention, and their first and last
layers, which are fitted to other images and classes.
"""

from collections.abc import Collection, Mapping
from functools import partial
from itertools import product

import torch
from torch import nn

from space.backbones.backbone import Backbone, Make, on_meta
from space.backbones.first_and_last import fitted
from space.backbones.names import NO_ATTENTION, Name
from space.backbones.own_attention import attention_modules
from space.backbones.sites import find_sites, layout_of
from space.backbones.watched import Watched
from space.backbones.watching import watch
from space.errors import UserError, first_line

SIDES = (224, 32, 64, 28, 96, 128, 256, 299, 384, 512)
"""Image sizes to try, in pixels a side: networks without a global pool take one only."""
CHANNELS = (3, 1)
"""Channels to try."""


def found_backbone(name: str, make: Make, pattern: str | None = None, *, plain: bool = False) -> Backbone:
    """A backbone whose places are found.

    Args:
        name: of the network.
        make: its maker.
        pattern: of the modules whose outputs are gated; None for the last normalisation of each residual branch.
        plain: take out what attention it carries itself.

    Raises:
        UserError: no place is found, the network takes no images, it returns something else than logits, or there is
            no attention to take out.
    """
    with torch.random.fork_rng([]):  # weights drawn here must not change which are drawn next
        watched, runs_on_meta = _passed(name, make)
        own = attention_modules(watched)
        removed = own if plain else ()
        if plain and not own:
            raise UserError(f"{name} carries no attention of its own; leave {NO_ATTENTION} out")
        if removed:
            make = partial(_without, make, removed)
            watched, runs_on_meta = _passed(name, make)
    try:
        sites = find_sites(watched, pattern)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    sizes = [size for site in sites if (size := watched.outputs[site.path][0].size)]
    return Backbone(
        name=str(Name(name, pattern or "", plain)),
        stride=max(1, watched.images.shape[-1] // min(width for _, _, width in sizes)),
        layout=layout_of(sites),
        make=partial(fitted, make, watched.stem, _classifier(name, watched)),
        sites=sites,
        classifier=watched.classifier,
        on_meta=runs_on_meta,
        own_attention=() if plain else own,
        removed=removed,
    )


def _without(make: Make, paths: Collection[str], in_channels: int, num_classes: int) -> nn.Module:
    """The network with these modules replaced by nothing."""
    network = make(in_channels, num_classes)
    for path in paths:
        network.set_submodule(path, nn.Identity())
    return network


def _passed(name: str, make: Make) -> tuple[Watched, bool]:
    """What a forward pass shows, and whether that was on the meta device."""
    try:
        return _watched(name, on_meta(make, 3, 10)), True
    except UserError:  # perhaps it computes from values, and on the meta device there are none
        return _watched(name, make(3, 10)), False


def _watched(name: str, network: nn.Module) -> Watched:
    """What a forward pass shows, with the first images that the network takes."""
    errors: list[Exception] = []
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    for channels, side in product(CHANNELS, _sides(network)):
        try:
            return watch(network, torch.zeros(2, channels, side, side, device=device))
        except Exception as error:  # whatever the user's code does with images that it is not made for
            errors.append(error)
    raise UserError(f"{name} takes no images of {SIDES[0]} or {SIDES[1]} pixels: {first_line(errors[0])}")


def _sides(network: nn.Module) -> list[int]:
    """Image sizes to try; first the one that timm's networks say themselves."""
    config = getattr(network, "pretrained_cfg", None)
    own = config.get("input_size") if isinstance(config, Mapping) else None
    return [*([own[-1]] if own else []), *SIDES]


def _classifier(name: str, watched: Watched) -> str:
    """Path of the last layer; empty if there is none, and the outputs are as many as were asked for."""
    output = watched.output
    if output is None or len(output.shape) != 2:
        shape = f"a tensor of {len(output.shape)} dimensions" if output else "no tensor"
        raise UserError(f"{name} returns {shape}; a classifier returns logits (images, classes)")
    if not watched.classifier and output.shape[1] != 10:
        raise UserError(f"{name} always has {output.shape[1]} outputs; let it take num_classes")
    return watched.classifier
