"""Backbones that are not ours: torchvision's, timm's, and a user's own.

Their places for gates are found by watching a forward pass (`places`), or named by a pattern.
"""

import difflib
import inspect
import weakref
from collections.abc import Callable, Collection, Mapping
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import nn

from space.backbones.backbone import Backbone, Make, on_meta
from space.backbones.names import NO_ATTENTION, Name
from space.backbones.own_attention import attention_modules
from space.backbones.places import find_sites, layout_of
from space.backbones.watching import Watched, watch
from space.errors import UserError
from space.user_code import find_object

TORCHVISION, TIMM = "torchvision/", "timm/"
SIDES = (224, 32, 64, 28, 96, 128, 256, 299, 384, 512)
"""Image sizes to try, in pixels a side: networks without a global pool take one only."""
CHANNELS = (3, 1)
"""Channels to try."""
SHOWN = 3
"""Names in an error."""
AUXILIARY = ("googlenet", "inception_v3")
"""Of torchvision's networks those that return more than the logits in training, unless they are told not to."""
WITHOUT_AUXILIARY: dict[str, Any] = {"aux_logits": False, "init_weights": False}


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
        raise UserError(f"no backbone {name!r}: {_first_line(error)}") from None

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


def own_network(name: str) -> Make:
    """Maker by a user's factory, named by `FILE.py:factory` or `package.module:factory`.

    Raises:
        UserError: there is none.
    """
    return called(name, find_object(name))


def called(name: str, factory: Callable[..., nn.Module]) -> Make:
    """Maker by a factory, which may take `num_classes` and `in_channels` (or `in_chans`), or neither.

    Raises:
        UserError: it cannot be called; when the maker is called, that it raises or makes no new module.
    """
    takes = _parameters(name, factory)
    made = weakref.WeakSet[nn.Module]()

    def make(in_channels: int, num_classes: int) -> nn.Module:
        offered = {"num_classes": num_classes, "in_channels": in_channels, "in_chans": in_channels}
        try:
            network = factory(**{key: value for key, value in offered.items() if key in takes})
        except Exception as error:
            if torch.get_default_device().type == "meta":  # it may do with values; `on_meta` tries so
                raise NotImplementedError from error
            raise UserError(f"{name} raises {type(error).__name__}: {_first_line(error)}") from None
        if not isinstance(network, nn.Module):
            raise UserError(f"{name} returns {type(network).__name__}, no torch.nn.Module")
        if network in made:
            raise UserError(f"{name} returns the same network again; let it make a new one each time")
        made.add(network)
        return network

    return make


def _parameters(name: str, factory: object) -> Collection[str]:
    if callable(factory) and not isinstance(factory, nn.Module):
        try:
            return inspect.signature(factory).parameters
        except ValueError:  # some of those written in C have none
            pass
    raise UserError(f"{name} is no function or class that makes a network")


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
        make=partial(_fitted, make, watched.stem, _classifier(name, watched)),
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
    raise UserError(f"{name} takes no images of {SIDES[0]} or {SIDES[1]} pixels: {_first_line(errors[0])}")


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


def _fitted(make: Make, stem: str, classifier: str, in_channels: int, num_classes: int) -> nn.Module:
    """The network with a first and a last layer for these images and classes, where its maker does not see to it."""
    network = make(in_channels, num_classes)
    first = network.get_submodule(stem) if stem else None
    if isinstance(first, nn.Conv2d) and first.in_channels != in_channels:
        first.in_channels = in_channels
        first.weight = nn.Parameter(first.weight.new_empty(first.out_channels, in_channels, *first.kernel_size))
        first.reset_parameters()
    last = network.get_submodule(classifier) if classifier else None
    if isinstance(last, nn.Linear | nn.Conv2d) and len(last.weight) != num_classes:
        setattr(last, "out_features" if isinstance(last, nn.Linear) else "out_channels", num_classes)
        last.weight = nn.Parameter(last.weight.new_empty(num_classes, *last.weight.shape[1:]))
        if last.bias is not None:
            last.bias = nn.Parameter(last.bias.new_empty(num_classes))
        last.reset_parameters()
    return network


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, SHOWN, 0.5) or known[:SHOWN]
    return f"{', '.join(near)} and {len(known) - len(near)} more"


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), "")
