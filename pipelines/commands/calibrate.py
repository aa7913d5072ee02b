"""`search calibrate`: what the parts of a space's networks take on a device, for `--device-file`."""

from pathlib import Path
from typing import Any

from pipelines.running.costs import prepare
from pipelines.settings.checks import check_images
from pipelines.settings.deployments import find_deployment
from pipelines.settings.options.calibrate import CalibrateOptions
from pipelines.terminal import exit_codes
from pipelines.terminal.console import print_json, say, stderr
from search.local_engine import LocalEngine
from space import Design, UserError
from space.backbones import backbone
from space.backbones.names import split_names
from space.choices import Candidate
from space.space_files import load_space
from trainers.costs import COSTS
from trainers.costs.cost import find_cost
from trainers.costs.measured import CostOfParts
from trainers.costs.timed import Timed
from trainers.device_file import DeviceFile
from trainers.measuring.packing import SCRIPT, Packer, write_script
from trainers.measuring.parts import Conditions, Parts, measure
from trainers.task import Task


def calibrate(options: CalibrateOptions) -> int:
    """Write a device file, or with --pack what makes one elsewhere; returns the exit code.

    Raises:
        UserError: a cost that no parts tell, no such space, or images that a network does not take.
    """
    names = [name.strip() for name in options.costs.split(",")]
    if unfit := [name for name in names if not issubclass(find_cost(name), Timed if options.pack else CostOfParts)]:
        known = [name for name, kind in COSTS.items() if issubclass(kind, Timed if options.pack else CostOfParts)]
        raise UserError(f"--costs {unfit[0]}: what can be measured so is {', '.join(known)}")
    shape = (options.channels, options.image_size, options.image_size)
    layouts = {name: backbone(name).layout for name in split_names(options.backbone)}
    check_images(shape, layouts)
    candidates = [*((name, Design()) for name in layouts), *load_space(options.space, layouts).enumerate()]
    task = Task(options.num_classes, shape)
    deployment = find_deployment("cpu" if options.pack else options.device, options.form, options.dtype)
    costs = {name: COSTS[name](task, deployment) for name in names}
    if options.pack is not None:
        _pack(options.pack, task, candidates, {n: it for n, it in costs.items() if isinstance(it, Timed)})
    else:
        prepared = prepare(names, candidates, task, deployment, LocalEngine())
        found = {name: it.to_json() for name, it in prepared.items() if isinstance(it, CostOfParts)}
        DeviceFile(task, found).write(options.into)
        say(f"wrote {options.into}: search launch --device-file {options.into}")
    if options.json:
        print_json({"costs": names, "into": str(options.pack or options.into)})
    return exit_codes.COMPLETE


def _pack(folder: Path, task: Task, candidates: list[Candidate], costs: dict[str, Timed]) -> None:
    if folder.exists():
        raise UserError(f"--pack {folder}: it is there already; name another folder, or take it away")
    read: dict[str, Any] = {}
    for name, cost in costs.items():
        packer = Packer(cost.deployment, folder)
        with stderr.status(f"writing programs for {cost.quantity.words}"):
            measure(candidates, task, Parts(Conditions.of(cost.deployment, cost.batch)), packer)
        read[name] = {"batch": cost.batch, "readings": packer.readings}
    deployment = next(iter(costs.values())).deployment
    how = {"form": deployment.form, "dtype": deployment.dtype}
    write_script(folder, {"file": DeviceFile(task, {}).head(), "how": how, "costs": read})
    say(f"wrote {folder}; on the device, with torch or onnxruntime: cd {folder.name} && python {SCRIPT}")
