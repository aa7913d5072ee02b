"""`search space`: what there is to search."""

import random

from rich.table import Table

from pipelines.running.costs import check_limits, costs_of, feasible, prepare
from pipelines.settings.checks import check_images
from pipelines.settings.deployments import find_deployment
from pipelines.settings.limits import limits_typed
from pipelines.settings.objectives import DEFAULT_COSTS
from pipelines.settings.options.space import SpaceOptions
from pipelines.terminal import exit_codes
from pipelines.terminal.console import print_json, stdout
from search.local_engine import LocalEngine
from space.backbones import backbone
from space.backbones.names import split_names
from space.space_files import load_space
from trainers.costs.cost import find_cost
from trainers.task import Task

EXAMPLES = 12


def space(options: SpaceOptions) -> int:
    """Print how many canonical designs a space has, how many meet the limits, and some of them; returns the exit code.

    Raises:
        UserError: no such space, or a limit that no design meets.
    """
    shape = (options.channels, options.image_size, options.image_size)
    layouts = {name: backbone(name).layout for name in split_names(options.backbone)}
    check_images(shape, layouts)
    searched = load_space(options.space, layouts)
    candidates = list(searched.enumerate())
    limits = limits_typed(options.limit, options.max_params, options.min_fps)
    names = dict.fromkeys([DEFAULT_COSTS[0], *(it.quantity.name for it in limits)])
    shown = [find_cost(name).quantity for name in names]
    deployment = find_deployment(options.device, options.form, options.dtype)
    prepared = prepare(names, candidates, Task(options.num_classes, shape), deployment, LocalEngine())
    costs = costs_of(candidates, prepared)
    check_limits(costs, limits)
    left = feasible(costs, limits)
    some = random.Random(0).sample(list(left.items()), min(EXAMPLES, len(left)))
    some.sort(key=lambda item: item[1][shown[0].key])
    examples = [{"backbone": b, "design": str(d), **cost} for (b, d), cost in some]
    if options.json:
        counts = {"space": options.space, "designs": searched.size, "drawn": len(costs), "feasible": len(left)}
        print_json({**counts, "examples": examples})
        return exit_codes.COMPLETE
    drawn = f"; of {len(costs):,} drawn" if searched.is_large else ","
    stdout.print(f"{options.space}: {searched}{drawn} {len(left):,} are within the limits; some of them:")
    rows = Table(box=None)
    for column in ("backbone", "design"):
        rows.add_column(column, overflow="fold")
    for cost in shown:
        rows.add_column(cost.column, justify="right")
    for (name, design), of in some:
        rows.add_row(name, str(design), *(cost.show(of[cost.key]) for cost in shown))
    stdout.print(rows)
    return exit_codes.COMPLETE
