"""Sampler names and the Optuna samplers behind them.

A sampler is made anew, from a seed, for what is decided together and for each decision that this leaves open, and so
must take all that it remembers from the study. Then a search goes on after an interruption as if there had been none.
"""

import contextlib
import functools
import inspect
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseGASampler,
    BaseSampler,
    PartialFixedSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import Trial

from search.front_sampler import FrontSampler
from search.genetic import QuickNSGAIISampler
from space.declarations import Value
from space.errors import UserError, first_line
from space.registry import Registry
from space.user_code import find_object, full_name

SAMPLERS: Registry[Callable[..., BaseSampler]] = Registry(
    "sampler",
    {
        "tpe": lambda seed: TPESampler(seed=seed, constant_liar=True),
        "nsga2": functools.partial(QuickNSGAIISampler, population_size=20),
        "random": lambda seed: RandomSampler(seed=seed),
        "front": FrontSampler,
    },
)
"""Maker of each sampler, called with seed=NUMBER, and with what else it takes of what is known: see `make_sampler`."""

DECIDING_STEP_BY_STEP = {"tpe", "random", "front"}
"""Samplers that need no earlier trial to have decided on the same choices; of others each trial decides on all."""


def make_sampler(name: str, seed: int, **known: Any) -> BaseSampler:
    """The sampler of this name, or of a class named by `package.module:Class` or `FILE.py:Class`.

    Args:
        name: as typed.
        seed: of all that it draws.
        known: what else is known of the search, for samplers that take it: `candidates`, `costs` and `metric`, see
            `FrontSampler`, and `remembered`, see `QuickNSGAIISampler`.

    Raises:
        UserError: an unknown name, or a class that is no sampler with a seed.
    """
    if name not in SAMPLERS and ":" not in name:
        names = ", ".join(SAMPLERS)
        raise UserError(f"no sampler {name!r}; there are {names}, package.module:Class and FILE.py:Class")
    maker = SAMPLERS[name] if name in SAMPLERS else _found(full_name(name))
    try:
        with _quiet():
            taken = known.keys() & _parameters(maker) if known else ()
            sampler = maker(seed=seed, **{key: known[key] for key in taken})
    except Exception as error:
        raise UserError(f"--sampler {name}: it cannot be made with seed=NUMBER ({first_line(error)})") from None
    if not isinstance(sampler, BaseSampler):
        raise UserError(f"--sampler {name}: {type(sampler).__name__} is no optuna.samplers.BaseSampler")
    return sampler


def make_fixed_sampler(values: Mapping[str, Value], base: BaseSampler) -> BaseSampler:
    """A sampler that always decides for these values, and otherwise like `base`."""
    with _quiet():
        return PartialFixedSampler(dict(values), base)


def choose_parents(sampler: BaseSampler, handle: Trial) -> None:
    """Have a genetic sampler choose the parents for this trial's generation, if it has not.

    It writes them into the study, and reads them in another order than it chose them. This must make no difference to
    a trial that is interrupted, so another sampler is to decide for it.
    """
    if isinstance(sampler, BaseGASampler):
        trial = handle.study._storage.get_trial(handle._trial_id)
        sampler.get_parent_population(handle.study, sampler.get_trial_generation(handle.study, trial))


@contextlib.contextmanager
def deciding(name: str) -> Iterator[None]:
    """Where this sampler decides: what it raises is told in one line, unless it is one of ours.

    Raises:
        UserError: the sampler raised something, or decided for what is no option.
    """
    try:
        yield
    except Exception as error:
        if name in SAMPLERS.ours:
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise UserError(
            f"--sampler {name} raises {type(error).__name__}: {first_line(error)} ({Path(last.filename).name}, line "
            f"{last.lineno}); the same command with another sampler goes on"
        ) from error


@functools.cache
def _found(name: str) -> Any:
    """The user's class; a file that changes during a search changes nothing."""
    return find_object(name)


@functools.cache
def _parameters(maker: Callable[..., BaseSampler]) -> Set[str]:
    """Names of what it takes."""
    return inspect.signature(maker).parameters.keys()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
