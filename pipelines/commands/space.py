"""`search space`: what there is to search."""

import random

from rich.table import Table

from pipelines.running.costs import costs_of, limits_of
from pipelines.settings.checks import check_images
from pipelines.settings.devices import find_device
from pipelines.settings.options.commands import SpaceOptions
from pipelines.terminal import exit_codes
from pipelines.terminal.console import print_json, stderr, stdout
from space import SearchSpace
from space.backbones import backbone
from trainers.cost import Task
from trainers.throughput import measure_table

EXAMPLES = 12


def space(options: SpaceOptions) -> int:
    """Print how many canonical designs a space has, how many meet the limits, and some of them; returns the exit code.

    Raises:
        UserError: no such space, or a limit that no design meets.
    """
    shape = (options.channels, options.image_size, options.image_size)
    layouts = {name: backbone(name).layout for name in options.backbone.split(",")}
    check_images(shape, layouts)
    candidates = list(SearchSpace.load(options.space, layouts).enumerate())
    task, table = Task(options.num_classes, shape), None
    if options.min_fps is not None:
        with stderr.status("measuring FPS"):
            table = measure_table(candidates, task, find_device(options.device, None))
    costs = costs_of(candidates, task, table, with_macs=False)  # counting them takes as long as all else
    limits = limits_of(options.max_params, options.min_fps, costs)
    feasible = {candidate: cost for candidate, cost in costs.items() if limits.allow(cost)}
    some = random.Random(0).sample(list(feasible.items()), min(EXAMPLES, len(feasible)))
    some.sort(key=lambda item: item[1].num_params)
    examples = [{"backbone": b, "design": str(d), "num_params": cost.num_params} for (b, d), cost in some]
    if options.json:
        counts = {"space": options.space, "designs": len(costs), "feasible": len(feasible)}
        print_json({**counts, "examples": examples})
        return exit_codes.COMPLETE
    stdout.print(f"{options.space}: {len(costs):,} designs, {len(feasible):,} of them within the limits; some of them:")
    rows = Table(box=None)
    for column in ("backbone", "design"):
        rows.add_column(column, overflow="fold")
    rows.add_column("params", justify="right")
    for (name, design), cost in some:
        rows.add_row(name, str(design), f"{cost.num_params:,}")
    stdout.print(rows)
    return exit_codes.COMPLETE
