"""A table of recorded curves: every design of a space, trained under several seeds, in a file that numpy reads.

The file is an .npz without pickles. D designs, N seeds:

    design        (D,) texts, the plain network first
    val_accuracy  (D, N, epochs) float32; from the epoch on in which a training failed, nan
    seconds       (D, N); what each training took
    each cost, by its key            (D,)
    settings      a JSON text: of the study that made it
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.trials import Trial
from space.choices import Candidate
from space.cost import Costs
from space.design import Design
from space.errors import UserError, first_line
from space.files import written_whole
from space.seeds import mix_seed

METRIC = "val_accuracy"
NO_COSTS = ("design", METRIC, "seconds", "settings")


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Curves of D designs under N seeds.

    Attributes:
        designs: D of them, canonical, each once.
        val_accuracy: (D, N, epochs); nan from the epoch on in which a training failed.
        seconds: (D, N), what each training took.
        costs: of each quantity, by its key, (D,).
        settings: of the study that made it.
    """

    designs: tuple[Design, ...]
    val_accuracy: NDArray[np.float32]
    seconds: NDArray[np.float64]
    costs: Mapping[str, NDArray[Any]]
    settings: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        trials: Sequence[Trial],
        costs: Mapping[Candidate, Costs],
        *,
        seeds: int,
        epochs: int,
        settings: Mapping[str, Any],
    ) -> "Table":
        """The curves of trainings under the seeds 0, 1, ...; a seed under which a design has no trial counts as failed.

        Args:
            trials: one for each training, of any seeds.
            costs: of each design that is to be in the table, in its order.
            seeds: N.
            epochs: of a training.
            settings: of their study.
        """
        rows = {candidate: row for row, candidate in enumerate(costs)}
        curves = np.full((len(rows), seeds, epochs), np.nan, np.float32)
        seconds = np.zeros((len(rows), seeds))
        for trial in trials:
            row, seed = rows.get(trial.job.candidate), trial.job.seed
            if row is not None and seed < seeds:
                curves[row, seed, : len(trial.history)] = [report[METRIC] for report in trial.history]
                seconds[row, seed] = sum(report["seconds"] for report in trial.history)
        return cls(
            designs=tuple(design for _, design in costs),
            val_accuracy=curves,
            seconds=seconds,
            costs={key: np.array([cost[key] for cost in costs.values()]) for key in next(iter(costs.values()))},
            settings=settings,
        )

    @classmethod
    def load(cls, path: Path) -> "Table":
        """Read a file.

        Raises:
            UserError: it is not there, torn, or none of these tables.
        """
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except FileNotFoundError:
            raise UserError(f"no table {path}; `search tabulate --table {path}` makes one") from None
        except Exception as error:  # of zipfile, zlib, numpy and the file system
            raise UserError(f"{path} is torn, or no table of curves: {_says(error)}") from None
        try:
            return cls._from(arrays)
        except KeyError as error:
            raise UserError(f"{path} is no table of curves: it has no {error.args[0]}") from None
        except ValueError as error:
            raise UserError(f"{path} is no table of curves: {_says(error)}") from None

    def with_known(self, other: "Table") -> "Table":
        """This table, with what another one knows of its designs under its first seeds."""
        curves, seconds = self.val_accuracy.copy(), self.seconds.copy()
        for design, row in other.rows.items():
            curves[self.rows[design], : other.seeds] = other.val_accuracy[row]
            seconds[self.rows[design], : other.seeds] = other.seconds[row]
        return replace(self, val_accuracy=curves, seconds=seconds)

    def save(self, path: Path) -> None:
        """Write a file, whole or not at all.

        Raises:
            UserError: it cannot be written.
        """
        arrays = {
            "design": np.array([str(design) for design in self.designs]),
            METRIC: self.val_accuracy,
            "seconds": self.seconds,
            **self.costs,
            "settings": np.array(json.dumps(self.settings)),
        }
        try:
            with written_whole(path) as partial, partial.open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **arrays)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}") from None

    @property
    def seeds(self) -> int:
        """N, trainings of each design."""
        return int(self.val_accuracy.shape[1])

    @cached_property
    def rows(self) -> Mapping[Design, int]:
        """Where each design is."""
        return {design: row for row, design in enumerate(self.designs)}

    def costs_of(self, design: Design) -> Costs:
        """What a design costs."""
        return {key: values[self.rows[design]].item() for key, values in self.costs.items()}

    @classmethod
    def _from(cls, arrays: Mapping[str, NDArray[Any]]) -> "Table":
        """From what is in a file.

        Raises:
            KeyError: something is missing.
            ValueError: something is of another form.
        """
        curves, settings = arrays[METRIC], json.loads(str(arrays["settings"]))
        if curves.ndim != 3 or 0 in curves.shape or not np.issubdtype(curves.dtype, np.floating):
            raise ValueError(f"{METRIC} is {curves.dtype} of shape {curves.shape}, not (designs, seeds, epochs)")
        costs = {name: arrays[name] for name in arrays if name not in NO_COSTS}
        shapes = {"design": curves.shape[:1], "seconds": curves.shape[:2], **dict.fromkeys(costs, curves.shape[:1])}
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise ValueError(f"{name} has the shape {arrays[name].shape}, not {shape} as {METRIC} has")
            if name != "design" and not (arrays[name].dtype.kind in "iuf" and np.isfinite(arrays[name]).all()):
                raise ValueError(f"{name} has what is no finite number")
        if not isinstance(settings, dict):
            raise ValueError("its settings are no object of JSON")
        designs = tuple(Design.parse(str(text)) for text in arrays["design"])
        if len(set(designs)) < len(designs):
            raise ValueError("it has a design twice")
        return cls(designs=designs, val_accuracy=curves, seconds=arrays["seconds"], costs=costs, settings=settings)


def halves(seeds: int, search_seed: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Which of the N seeds a search sees, in the order of its trainings of a design, and which judge it.

    Both are the same for all designs, and depend on the search's seed alone.
    """
    order = random.Random(mix_seed(search_seed)).sample(range(seeds), seeds)
    return tuple(order[: seeds // 2]), tuple(order[seeds // 2 :])


def truth(table: Table, search_seed: int) -> NDArray[np.float64]:
    """What a search of this seed is scored by: (D,), the mean accuracy at the end over the seeds that it does not see.

    Nan where one of a design's trainings failed, under whichever seed: it is on no front.
    """
    _, judges = halves(table.seeds, search_seed)
    last = table.val_accuracy[:, :, -1].astype(np.float64)
    mean: NDArray[np.float64] = last[:, judges].mean(axis=1)
    return np.where(np.isnan(last).any(axis=1), np.nan, mean)


def _says(error: Exception) -> str:
    return first_line(error) or type(error).__name__
