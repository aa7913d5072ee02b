"""`search profile`: what one design costs in one backbone."""

from dataclasses import asdict

from rich.table import Table

from pipelines.console import print_json, stderr, stdout
from pipelines.engines import find_device
from pipelines.settings import check_stride
from space import Design
from space.backbones import backbone as find_backbone
from space.build import build
from trainers.cost import count_macs, count_params
from trainers.throughput import measure_fps


def profile(
    text: str, backbone: str, num_classes: int, shape: tuple[int, int, int], device: str, with_fps: bool, as_json: bool
) -> None:
    """Print a design's canonical form, parameters, MACs for one image, and measured FPS.

    Args:
        text: the design.
        backbone: name.
        num_classes: of the classifier.
        shape: channels, height and width of an image.
        device: auto, cpu or cuda.
        with_fps: whether to measure FPS, which takes seconds.
        as_json: for programs.
    """
    network_of = find_backbone(backbone)
    check_stride(shape, [backbone])
    design = Design.parse(text).canonical(network_of.layout)
    network = build(design, network_of, num_classes, shape[0])
    result = {
        "design": str(design),
        "backbone": backbone,
        "num_params": count_params(network),
        "macs": count_macs(network, shape),
    }
    if with_fps:
        with stderr.status("measuring FPS"):
            fps, conditions = measure_fps(network, shape, find_device(device, None))
        result |= {"fps": round(fps, 1), "fps_conditions": asdict(conditions)}
    if as_json:
        print_json(result)
        return
    table = Table(box=None, show_header=False)
    for name, value in result.items():
        if isinstance(value, dict):
            table.add_row(name, ", ".join(f"{key} {entry}" for key, entry in value.items()))
        else:
            table.add_row(name, f"{value:,}" if isinstance(value, int | float) else str(value))
    stdout.print(table)
