"""Sampler names and the Optuna samplers behind them."""

import warnings
from collections.abc import Callable, Mapping

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, PartialFixedSampler, RandomSampler, TPESampler

from space.design import Value
from space.errors import UserError
from space.objects import find_object

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed, constant_liar=True),
    "nsga2": lambda seed: NSGAIISampler(seed=seed, population_size=20),
    "random": lambda seed: RandomSampler(seed=seed),
}
"""Maker of each sampler from a seed; plug-ins add theirs."""

DECIDING_STEP_BY_STEP = {"tpe", "random"}
"""Samplers that need no earlier trial to have decided on the same choices; of others each trial decides on all."""


def make_sampler(name: str, seed: int) -> BaseSampler:
    """The sampler of this name, or of a class named by `package.module:Class` or `FILE.py:Class`.

    Raises:
        UserError: an unknown name, or a class that is no sampler with a seed.
    """
    if name in SAMPLERS:
        return SAMPLERS[name](seed)
    if ":" not in name:
        raise UserError(f"no sampler {name!r}; there are {', '.join(SAMPLERS)}, and package.module:Class")
    try:
        sampler = find_object(name)(seed=seed)
    except TypeError as error:
        raise UserError(f"--sampler {name}: it cannot be made with seed=NUMBER ({error})") from None
    if not isinstance(sampler, BaseSampler):
        raise UserError(f"--sampler {name}: {type(sampler).__name__} is no optuna.samplers.BaseSampler")
    return sampler


def make_fixed_sampler(values: Mapping[str, Value], base: BaseSampler) -> BaseSampler:
    """A sampler that always decides for these values, and otherwise like `base`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return PartialFixedSampler(dict(values), base)
