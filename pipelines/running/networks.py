"""A search that trains its networks, and counts and measures what they cost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.running.costs import Prepared, costs_of, keep, prepare, to_keep
from pipelines.running.trainings import evaluator_of, plain_seconds
from pipelines.settings.engines import make_engine
from pipelines.settings.options.launch import LaunchOptions
from pipelines.settings.resolve import resolve
from pipelines.settings.study import Settings
from search.engine import Engine
from space.choices import Candidate
from space.cost import Costs, Limit
from trainers.costs import ALWAYS, COSTS, MeasuredCost
from trainers.evaluator import Evaluator
from trainers.source import Source


@dataclass
class Networks:
    """Networks that are trained.

    Attributes:
        options: of the launch.
        settings: that these mean.
        source: where the images are.
        tracked: MLflow has the search.
        most_trainings: of one design; as many as one likes.
    """

    options: LaunchOptions
    settings: Settings
    source: Source
    tracked: bool = True
    most_trainings: None = None
    _prepared: Prepared = field(default_factory=dict)

    @classmethod
    def of(cls, options: LaunchOptions, frozen: Settings | None = None, data_root: Path | None = None) -> "Networks":
        """Those that a launch means.

        Args:
            options: of the launch.
            frozen: settings of the study that goes on.
            data_root: folder of the torchvision data sets that it was made with.

        Raises:
            UserError: as `resolve` does.
        """
        settings, source = resolve(
            options.task,
            options.run,
            data_root=data_root,
            space=options.space,
            seed=options.seed,
            study=options.study,
            frozen=frozen,
        )
        return cls(options, settings, source)

    @cached_property
    def evaluate(self) -> Evaluator:
        """Makes the trainings."""
        return evaluator_of(self.settings, self.source, self.options.run)

    @cached_property
    def seconds_each(self) -> float:
        """About how long a training takes."""
        return plain_seconds(self.settings)

    @cached_property
    def enqueued(self) -> Sequence[Candidate]:
        """Designs that the user wants first, of the space or not.

        Raises:
            UserError: the backbone does not take one.
        """
        return [self.settings.candidate(text) for text in self.options.enqueue]

    def engine(self, trials: int) -> Engine:
        """Where so many more trials run."""
        return make_engine(self.options.run.resources, self.settings.device, trials, self.seconds_each)

    def costs(self, limits: Sequence[Limit], engine: Engine, stored: Mapping[str, Any]) -> Mapping[Candidate, Costs]:
        """What each design costs, measured where the study has not; for a dry run only what is limited is measured."""
        limited = [limit.quantity.name for limit in limits]
        names = [*ALWAYS, *self.settings.costs, *limited]
        if self.options.dry_run:
            names = [name for name in names if name in limited or not issubclass(COSTS[name], MeasuredCost)]
        settings = self.settings
        code = self.evaluate.code
        self._prepared = prepare(names, self._candidates, settings.task, settings.deployment, engine, code, stored)
        return costs_of(self._candidates, self._prepared)

    def kept_costs(self, stored: Mapping[str, Any], annotate: Callable[[str, Any], None]) -> Mapping[Candidate, Costs]:
        """The same, as the study keeps them from now on."""
        keep(self._prepared, stored, annotate)
        return costs_of(self._candidates, self._prepared)

    def to_keep(self) -> Mapping[str, Any]:
        """Where the data is, and what was measured."""
        return {"data_root": str(self.source.root), **to_keep(self._prepared)}

    def __str__(self) -> str:
        settings = self.settings
        return (
            f"{settings.describe_data()} · {', '.join(settings.backbones)} · {settings.recipe.epochs} epochs"
            f" · {settings.space_name} space: {settings.search_space}"
        )

    @cached_property
    def _candidates(self) -> Sequence[Candidate]:
        space = self.settings.search_space
        return list(dict.fromkeys([space.plain(), *self.enqueued, *space.enumerate()]))
