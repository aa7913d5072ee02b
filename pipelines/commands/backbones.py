"""`search backbones`: the networks that attention can go into."""

from typing import Any

from rich.table import Table

from pipelines.settings.objectives import DEFAULT_COSTS
from pipelines.settings.options.backbones import BackbonesOptions
from pipelines.terminal import exit_codes
from pipelines.terminal.console import print_json, stdout
from space import Design
from space.backbones import BACKBONES, backbone
from trainers.costs import COSTS, MeasuredCost
from trainers.deployment import Deployment
from trainers.task import Task

CIFAR, IMAGENET = Task(10, (3, 32, 32)), Task(1000, (3, 224, 224))


def backbones(options: BackbonesOptions) -> int:
    """Print each family with its numbers, and an example with its size; in words those that have no example."""
    found: list[dict[str, Any]] = []
    costs = [COSTS[name] for name in DEFAULT_COSTS if not issubclass(COSTS[name], MeasuredCost)]
    for form, family in BACKBONES.items():
        if not family.example:
            continue
        example = backbone(family.example)
        task = IMAGENET if family.example.startswith("imagenet/") else CIFAR
        found.append(
            {
                "name": form,
                "numbers": family.numbers,
                "example": family.example,
                "stages": [{"blocks": stage.blocks, "channels": stage.channels} for stage in example.layout],
                "smallest_image": example.stride,
                **{cost.quantity.key: cost(task, Deployment()).value(family.example, Design()) for cost in costs},
                "num_classes": task.num_classes,
            }
        )
    if options.json:
        print_json(found)
        return exit_codes.COMPLETE
    table = Table(box=None)
    for column in ("name", "with", "example", "blocks x channels"):
        table.add_column(column, overflow="fold")
    for column in (*(cost.quantity.head for cost in costs), "classes"):
        table.add_column(column, justify="right")
    for entry in found:
        stages = backbone(entry["example"]).layout
        table.add_row(
            entry["name"],
            entry["numbers"],
            entry["example"],
            ", ".join(f"{stage.blocks} x {stage.channels}" for stage in stages),
            *(cost.quantity.show(entry[cost.quantity.key]) for cost in costs),
            str(entry["num_classes"]),
        )
    stdout.print(table)
    stdout.print("Behind a name: +conv_bias (a bias in every convolution), +no_bn (no BN but in projection shortcuts),")
    stdout.print("+no_skip (no shortcuts), such as resnet56+no_skip.")
    others = [form for form, family in BACKBONES.items() if form in BACKBONES.ours and not family.example]
    stdout.print(f"Others: {', '.join(others)}, and those of --plugin;")
    stdout.print("`search profile --backbone NAME --show-gates` says where gates would sit.")
    for form in BACKBONES:
        if form not in BACKBONES.ours and not BACKBONES[form].example:
            stdout.print(f"  {form}: of a plug-in")
    return exit_codes.COMPLETE
