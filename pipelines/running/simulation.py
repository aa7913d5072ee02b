"""A search on a table of curves: nothing is read, trained or measured, and the clock is simulated."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.settings.checks import check_same
from pipelines.settings.meant import meant
from pipelines.settings.objectives import objectives_named, parse_objectives
from pipelines.settings.options.launch import LaunchOptions
from pipelines.settings.resolve import find_data_root
from pipelines.settings.study import Settings
from search.engine import Engine
from search.replay import Replay
from search.simulated_engine import SimulatedEngine
from search.table import METRIC, Table, halves
from space.choices import Candidate
from space.cost import Costs, Limit
from space.errors import UserError
from space.files import absolute
from space.seeds import mix_seed
from trainers.source import Source


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """A table in the place of networks.

    Attributes:
        path: of its file.
        table: that is in it.
        settings: of the search.
        source: where the images are that trained its networks.
        workers: trials at once.
        tracked: whether MLflow has the search.
        enqueued: designs that the user wants first.
    """

    path: Path
    table: Table
    settings: Settings
    source: Source
    workers: int
    tracked: bool
    enqueued: Sequence[Candidate] = ()

    @classmethod
    def of(cls, options: LaunchOptions, frozen: Settings | None = None, data_root: Path | None = None) -> "Simulation":
        """That of a launch.

        Args:
            options: of the launch, which name a table.
            frozen: settings of the study that goes on.
            data_root: folder of the torchvision data sets that it was made with.

        Raises:
            UserError: no such table, one of another version, something that it does not know or that differs from
                `frozen`.
        """
        assert options.table is not None
        run, path = options.run, absolute(options.table)
        table = Table.load(path)
        if table.seeds < 2:
            raise UserError(f"{path} has one seed: a search sees half of the seeds, and the others judge it")
        try:
            recorded = Settings.from_json(table.settings)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        metric, costs = parse_objectives(options.task.objectives, options.task.metric)
        if metric not in (None, recorded.metric):
            raise UserError(f"--objectives or --metric {metric}: {path} knows {recorded.metric}, no {metric}")
        settings = replace(
            recorded,
            seed=meant(options.seed, frozen, "seed", 0),
            objectives=(METRIC, *meant(costs, frozen, "costs", recorded.costs)),
            plugins={plugin.path.name: plugin.digest for plugin in run.plugins},
            table=hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        if frozen is not None:
            assert options.study is not None
            check_same(options.study, frozen, settings)
        enqueued = [settings.candidate(text) for text in options.enqueue]
        for _, design in enqueued:
            if design not in table.rows:
                raise UserError(f"--enqueue {design}: {path} does not have it")
        return cls(
            path=path,
            table=table,
            settings=settings,
            source=settings.source(find_data_root(run, data_root), run.cache_folder, run.cache_bytes),
            workers=run.resources.workers or 1,
            tracked=run.tracking_uri is not None,
            enqueued=enqueued,
        )

    @property
    def evaluate(self) -> Replay:
        """Makes the trainings: the k-th of each design is the k-th that the search sees."""
        columns = {mix_seed(self.settings.seed, k): column for k, column in enumerate(self._seen)}
        return Replay(self.table, columns.__getitem__)

    @property
    def most_trainings(self) -> int:
        """As many as a search sees of a design."""
        return len(self._seen)

    @property
    def _seen(self) -> Sequence[int]:
        return halves(self.table.seeds, self.settings.seed)[0]

    @property
    def seconds_each(self) -> float:
        """How long a training took, in the mean."""
        return float(self.table.seconds.mean())

    def engine(self, trials: int) -> Engine:
        """The one with the simulated clock."""
        return SimulatedEngine(max(1, min(self.workers, trials)))

    def costs(self, limits: Sequence[Limit], engine: Engine, stored: Mapping[str, Any]) -> Mapping[Candidate, Costs]:
        """What each design of the table costs that the study's space has.

        Raises:
            UserError: the table does not know one of the costs.
        """
        wanted = [*objectives_named(self.settings.objectives).costs, *(limit.quantity for limit in limits)]
        for quantity in wanted:
            if quantity.key not in self.table.costs:
                raise UserError(f"{self.path} does not know {quantity.words}; it has {', '.join(self.table.costs)}")
        return self._costs

    def kept_costs(self, stored: Mapping[str, Any], annotate: Callable[[str, Any], None]) -> Mapping[Candidate, Costs]:
        """The same: nothing was measured."""
        return self._costs

    @property
    def _costs(self) -> Mapping[Candidate, Costs]:
        space = self.settings.search_space
        candidates = dict.fromkeys([space.plain(), *self.enqueued, *space.enumerate()])
        return {it: self.table.costs_of(it[1]) for it in candidates if it[1] in self.table.rows}

    def to_keep(self) -> Mapping[str, Any]:
        """Where the data and the table are."""
        return {"data_root": str(self.source.root), "table": str(self.path)}

    def __str__(self) -> str:
        sizes = f"{len(self.table.designs):,} designs x {self.table.seeds} seeds"
        return f"{self.path.name}: {sizes} · {self.settings.describe_data()} · {', '.join(self.settings.backbones)}"
