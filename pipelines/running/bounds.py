"""What ends a search: the bounds that a launch has, and how many designs it may train."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from pipelines.running.ground import Ground
from pipelines.settings.options.launch import LaunchOptions
from pipelines.settings.study import Settings
from search.ending import Bound, FirstOf, Hours, MaxEpochs, Patience
from search.hypervolume import Bounds
from search.trials import Trial
from space.errors import UserError


def work_bounds(options: LaunchOptions, settings: Settings) -> FirstOf:
    """The bounds on work.

    Raises:
        UserError: not one training is within them.
    """
    bounds: list[Bound] = []
    each = settings.recipe.epochs
    if options.max_epochs is not None:
        if options.max_epochs < each:
            raise UserError(f"--max-epochs {options.max_epochs}: one training takes {each} epochs")
        bounds.append(MaxEpochs(epochs=options.max_epochs, each=each))
    if options.gpu_hours is not None:
        resources = options.run.resources
        processors = resources.gpus(settings.device) or resources.cpus_per_trial
        bounds.append(Hours(hours=options.gpu_hours, processors=processors))
    return FirstOf(bounds)


def with_patience(work: FirstOf, options: LaunchOptions, bounds: Bounds, images: int) -> FirstOf:
    """These bounds, and what ends a search that no longer gains.

    Args:
        work: bounds on work.
        options: of the launch.
        bounds: of the hypervolume.
        images: that the metric is judged on.
    """
    if options.patience is None:
        return work
    return FirstOf([*work.bounds, Patience(designs=options.patience, bounds=bounds, images=images)])


@dataclass(frozen=True)
class Work:
    """How much a launch has to do.

    Attributes:
        bounds: on work.
        budget: designs to train in all.
        room: about how many trainings more the bounds allow; infinite without one.
        left: about how many designs are still to be trained.
        total: trials that a bar counts.
        counted: whether a trial is one of them: a design's first training, or where work is bounded any.
    """

    bounds: FirstOf
    budget: int
    room: float
    left: int
    total: int
    counted: Callable[[Trial], bool]

    @classmethod
    def of(cls, options: LaunchOptions, ground: Ground, trials: Sequence[Trial]) -> "Work":
        """That of a launch, after these trials.

        Raises:
            UserError: not one training is within the bounds.
        """
        bounds, budget = work_bounds(options, ground.settings), designs_wanted(options, ground.settings)
        room = bounds.room(trials, ground.seconds_each) if bounds.bounds else math.inf
        left = int(min(room, max(0, budget - sum(trial.counts for trial in trials))))
        counted = attrgetter("trained" if bounds.bounds else "counts")
        total = sum(map(counted, trials)) + (int(room) if bounds.bounds else left)
        return cls(bounds, budget, room, left, total, counted)


def designs_wanted(options: LaunchOptions, settings: Settings) -> int:
    """The budget; where a bound on work is in its place, all designs."""
    wanted = options.designs
    beside = 1 + len(options.enqueue)  # plain may be beside the space, and so may others
    return settings.search_space.size + beside if wanted is None else wanted
