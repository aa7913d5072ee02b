"""What a search stands on: networks that are trained, or a table of curves that were recorded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from pipelines.running.networks import Networks
from pipelines.running.simulation import Simulation
from pipelines.settings.options.launch import LaunchOptions
from pipelines.settings.study import Settings
from search.engine import Engine
from search.execution import Evaluate
from search.storage import Record
from space.choices import Candidate
from space.cost import Costs, Limit
from trainers.source import Source


class Ground(Protocol):
    """Where the trainings and the costs of a search come from."""

    @property
    def settings(self) -> Settings:
        """Of the study."""

    @property
    def source(self) -> Source:
        """Where its images are."""

    @property
    def evaluate(self) -> Evaluate:
        """Makes the trainings."""

    @property
    def most_trainings(self) -> int | None:
        """Of one design; None for as many as one likes."""

    @property
    def seconds_each(self) -> float:
        """About how long a training takes."""

    @property
    def enqueued(self) -> Sequence[Candidate]:
        """Designs that the user wants first.

        Raises:
            UserError: one cannot be trained here.
        """

    @property
    def tracked(self) -> bool:
        """Whether MLflow is to have the search."""

    def engine(self, trials: int) -> Engine:
        """Where so many more trials run."""

    def costs(self, limits: Sequence[Limit], engine: Engine, stored: Mapping[str, Any]) -> Mapping[Candidate, Costs]:
        """What each design that may be tried costs, the plain network first.

        Args:
            limits: on costs that must be known.
            engine: where costs are measured that are not known yet.
            stored: attributes of the study, with what was measured before.
        """

    def kept_costs(self, stored: Mapping[str, Any], annotate: Callable[[str, Any], None]) -> Mapping[Candidate, Costs]:
        """The same, as the study keeps them from now on: another process may have measured first.

        Args:
            stored: attributes of the study.
            annotate: stores another one.
        """

    def to_keep(self) -> Mapping[str, Any]:
        """Attributes of the study, if it is new."""


def ground_of(options: LaunchOptions, record: Record | None) -> Ground:
    """What a launch stands on: what was said, else what the study was made on.

    Args:
        options: of the launch.
        record: of the study of that name, if there is one.

    Raises:
        UserError: a mistake in the options.
    """
    there = {} if record is None else record.attributes
    frozen = Settings.from_json(there["settings"]) if there else None
    data_root = Path(there["data_root"]) if there else None
    if options.table is None and "table" in there:
        options = replace(options, table=Path(there["table"]))
    where = Networks if options.table is None else Simulation
    return where.of(options, frozen, data_root)
