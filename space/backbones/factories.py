"""Networks that a user's function or class makes."""

import inspect
import weakref
from collections.abc import Callable, Collection

import torch
from torch import nn

from space.backbones.backbone import Make
from space.errors import UserError, first_line


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
            raise UserError(f"{name} raises {type(error).__name__}: {first_line(error)}") from None
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
