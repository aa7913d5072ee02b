"""What ends a search: the bounds that a launch has, and how many designs it may train."""

from pipelines.settings.options.search import LaunchOptions
from pipelines.settings.study import Settings
from search.ending import Bound, FirstOf, Hours, MaxEpochs, Patience
from search.hypervolume import Bounds
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


def designs_wanted(options: LaunchOptions, settings: Settings) -> int:
    """The budget; where a bound on work is in its place, all designs."""
    wanted = options.designs
    return len(settings.search_space.decisions) + 1 if wanted is None else wanted  # plain may be beside the space
