"""`search profile`: what one design costs in one backbone, and where its gates sit."""

from typing import Any

from rich.table import Table
from torch import nn

from pipelines.running.verifying import verify
from pipelines.settings.checks import check_images
from pipelines.settings.deployments import find_deployment
from pipelines.settings.options.profile import ProfileOptions
from pipelines.terminal import exit_codes
from pipelines.terminal.console import print_json, say, stderr, stdout
from space import Design, UserError
from space.backbones import backbone as find_backbone
from space.backbones import chosen
from space.build import build
from trainers.costs import COSTS, MeasuredCost
from trainers.counting import all_stages, attended_stages
from trainers.deployment import Deployment
from trainers.task import Task

SIDE, LARGE_SIDE, LARGE_STRIDE = 32, 224, 32
"""Of images, by default; a network of large stride is made for large ones."""


def profile(options: ProfileOptions) -> int:
    """Print a design's canonical form and its costs, those that are measured included; or the places for gates.

    Raises:
        UserError: a network or a design that does not exist, or images that the network does not take.
    """
    network_of = chosen(options.backbone, options.gate_at, replace_attention=options.replace_attention)
    for note in network_of.notes:
        say(note)
    side = options.image_size or (LARGE_SIDE if network_of.stride >= LARGE_STRIDE else SIDE)
    shape = (options.channels, side, side)
    check_images(shape, [network_of.name])
    designs = [Design.parse(text).canonical(network_of.layout) for text in options.designs]
    task = Task(options.num_classes, shape)
    deployment = find_deployment(options.device, options.form, options.dtype)
    if options.verify is not None:
        verify(options.verify, network_of, designs, task, deployment, as_json=options.json)
        return exit_codes.COMPLETE
    (design,) = designs or [Design()]
    if options.show_gates:
        _show_gates(design, network_of.name, task, options.json)
        return exit_codes.COMPLETE
    result: dict[str, Any] = {
        "design": str(design),
        "backbone": network_of.name,
        "image_size": side,
    }
    for name in COSTS:
        if not issubclass(COSTS[name], MeasuredCost):
            cost = COSTS[name](task, deployment)
            cost.prepare([(network_of.name, design)])
            result[cost.quantity.key] = cost.value(network_of.name, design)
        elif not options.no_measuring:
            network = build(design, network_of, options.num_classes, options.channels)
            result |= _measured(name, network, task, deployment)
    if options.json:
        print_json(result)
        return exit_codes.COMPLETE
    table = Table(box=None, show_header=False)
    for name, value in result.items():
        if isinstance(value, dict):
            table.add_row(name, ", ".join(f"{key} {entry}" for key, entry in value.items()))
        else:
            table.add_row(name, f"{value:,}" if isinstance(value, int | float) else str(value))
    stdout.print(table)
    return exit_codes.COMPLETE


def _measured(name: str, network: nn.Module, task: Task, deployment: Deployment) -> dict[str, Any]:
    """A cost of a network, and the conditions; nothing where that is not known of networks deployed so."""
    try:
        cost = COSTS[name](task, deployment)
    except UserError as error:
        say(str(error))
        return {}
    assert isinstance(cost, MeasuredCost)
    with stderr.status(f"measuring {cost.quantity.words}"):
        (value,) = cost.of_networks({"": network}).values()
    key = cost.quantity.key
    return {key: float(f"{value:.4g}") if value < 1000 else round(value, 1), f"{key}_conditions": dict(cost.conditions)}


def _show_gates(design: Design, name: str, task: Task, as_json: bool) -> None:
    """Where gates sit; all places where the design has none, else those of the stages that it attends."""
    attended = attended_stages(design, name, task) or all_stages(name, task)
    pixels = {stage.number: stage.place.size[1:] for stage in attended}
    places: list[dict[str, Any]] = [
        {
            "module": site.path,
            "stage": site.stage + 1,
            "channels": site.channels,
            "resolution": list(pixels[site.stage]),
        }
        for site in find_backbone(name).sites
        if site.stage in pixels
    ]
    if as_json:
        print_json(places)
        return
    table = Table(box=None, title=f"{name}, images of {' x '.join(map(str, task.shape))}", title_justify="left")
    table.add_column("a gate on the output of")
    for column in ("stage", "channels", "resolution"):
        table.add_column(column, justify="right")
    for place in places:
        height, width = place["resolution"]
        table.add_row(place["module"], str(place["stage"]), str(place["channels"]), f"{height} x {width}")
    stdout.print(table)
    stdout.print("A stage is named by its digit, as in se:stages=34; --gate-at PATTERN puts gates elsewhere.")
