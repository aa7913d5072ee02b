"""Sampler names and the Optuna samplers behind them."""

import warnings
from collections.abc import Callable

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

from space.errors import UserError


def _tpe(seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(seed=seed, constant_liar=True)


SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": _tpe,
    "nsga2": lambda seed: NSGAIISampler(seed=seed, population_size=20),
    "random": lambda seed: RandomSampler(seed=seed),
}
"""Maker of each sampler from a seed."""


def make_sampler(name: str, seed: int) -> BaseSampler:
    """The sampler of this name.

    Raises:
        UserError: an unknown name.
    """
    if name not in SAMPLERS:
        raise UserError(f"no sampler {name!r}; there are {', '.join(SAMPLERS)}")
    return SAMPLERS[name](seed)
