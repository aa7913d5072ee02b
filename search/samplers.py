"""Sampler names and the Optuna samplers behind them."""

import warnings
from collections.abc import Callable, Mapping

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, PartialFixedSampler, RandomSampler, TPESampler

from space.design import Value
from space.errors import UserError

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed, constant_liar=True),
    "nsga2": lambda seed: NSGAIISampler(seed=seed, population_size=20),
    "random": lambda seed: RandomSampler(seed=seed),
}
"""Maker of each sampler from a seed."""

RECOMBINING = {"nsga2"}
"""Samplers that recombine the decisions of earlier trials; they need every trial to have decided on every choice."""


def make_sampler(name: str, seed: int) -> BaseSampler:
    """The sampler of this name.

    Raises:
        UserError: an unknown name.
    """
    if name not in SAMPLERS:
        raise UserError(f"no sampler {name!r}; there are {', '.join(SAMPLERS)}")
    return SAMPLERS[name](seed)


def make_fixed_sampler(values: Mapping[str, Value], base: BaseSampler) -> BaseSampler:
    """A sampler that always decides for these values, and otherwise like `base`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return PartialFixedSampler(dict(values), base)
