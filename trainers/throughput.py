"""FPS: how many images a second a network classifies, measured, and the table that predicts it.

The latency of a network is that of the plain backbone plus what each gate adds in each stage. Both
are measured once, while the device is idle, and stored with the study: so the FPS of every design
is known before training, and the same design has the same FPS throughout.
"""

import math
import platform
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from space.backbones import backbone as find_backbone
from space.build import build
from space.choices import Candidate
from space.design import Design
from trainers.counting import GateContext, attended_stages, computation
from trainers.recipe import Recipe
from trainers.task import Task
from trainers.training import steps_per_epoch, trainable

BATCH = 128
LARGEST = 96 * 96
"""Pixels an image up to which a whole batch is timed; of larger ones fewer."""
ROUNDS = 4
"""Each entry is timed this often, in turns; the fastest counts, since others on the machine only slow it down."""
PLAIN_SECONDS = 0.3
GATE_SECONDS = 0.004
"""Shortest time to spend on one timing."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What an FPS was measured with; it means nothing without.

    Attributes:
        device: name of the processor.
        batch: images a forward pass.
        dtype: of weights and images.
        threads: CPU threads.
        memory_format: of weights and images.
    """

    device: str
    batch: int
    dtype: str = "float32"
    threads: int = 1
    memory_format: str = "channels_last"


def conditions_for(shape: tuple[int, int, int], device: str) -> Conditions:
    """How images of this shape are timed on this device."""
    batch = max(1, min(BATCH, BATCH * LARGEST // (shape[1] * shape[2])))
    return Conditions(device=device_name(device), batch=batch)


def device_name(device: str) -> str:
    """The processor's name, as its maker calls it."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@dataclass(frozen=True)
class FpsTable:
    """Seconds that a batch takes in each plain backbone, and that each gate adds to one block.

    Attributes:
        conditions: how it was measured.
        plain: seconds by backbone.
        gates: seconds by `gate_key`.
    """

    conditions: Conditions
    plain: dict[str, float]
    gates: dict[str, float]

    def fps(self, design: Design, backbone: str, task: Task) -> float:
        """Images per second of the network that this design builds.

        Raises:
            KeyError: a part of it is not measured, see `has`.
        """
        seconds = self.plain[backbone]
        for stage in attended_stages(design, backbone, task):
            seconds += stage.blocks * self.gates[gate_key(computation(design), stage.place)]
        return self.conditions.batch / seconds

    def has(self, candidates: Collection[Candidate], task: Task) -> bool:
        """Whether all that these (backbone, design) pairs need is measured."""
        needed = {
            gate_key(computation(design), stage.place)
            for name, design in candidates
            for stage in attended_stages(design, name, task)
        }
        return needed <= self.gates.keys() and {name for name, _ in candidates} <= self.plain.keys()

    def completed_by(self, known: "FpsTable") -> "FpsTable":
        """This table, with the entries of another one where that has some."""
        return FpsTable(known.conditions, {**self.plain, **known.plain}, {**self.gates, **known.gates})

    def to_json(self) -> dict[str, Any]:
        """For the study; `from_json` is the way back."""
        return asdict(self)

    @classmethod
    def from_json(cls, table: dict[str, Any]) -> "FpsTable":
        """The table that `to_json` described."""
        return cls(Conditions(**table["conditions"]), table["plain"], table["gates"])


def gate_key(gate: Design, place: GateContext) -> str:
    """Name of a gate's entry: what it computes, and where."""
    return f"{gate} {place}"


def measure_table(candidates: Sequence[Candidate], task: Task, device: str, known: FpsTable | None = None) -> FpsTable:
    """Time every plain backbone and every kind of gate that these candidates need.

    Args:
        candidates: (backbone, design) pairs.
        task: size of the images.
        device: cpu or cuda; nothing else should be running there.
        known: a table to complete; what it has is not measured again.
    """
    known = known or FpsTable(conditions_for(task.shape, device), {}, {})
    backbones = [name for name in dict.fromkeys(name for name, _ in candidates) if name not in known.plain]
    by_place: dict[GateContext, dict[str, Design]] = {}
    for name, design in candidates:
        for stage in attended_stages(design, name, task):
            key = gate_key(computation(design), stage.place)
            if key not in known.gates:
                by_place.setdefault(stage.place, {})[key] = computation(design)
    plain_seconds = dict.fromkeys(backbones, math.inf)
    gate_seconds = {key: math.inf for gates in by_place.values() for key in gates}
    without = dict.fromkeys(by_place, math.inf)
    for _ in range(ROUNDS):
        for name in backbones:
            network = build(Design(), find_backbone(name), task.num_classes, task.shape[0])
            seconds = _forward_seconds(network, task.shape, known.conditions, device)
            plain_seconds[name] = min(plain_seconds[name], seconds)
        for place, gates in by_place.items():
            bench = _Bench(place, known.conditions, device)
            without[place] = min(without[place], bench.seconds(nn.Identity()))
            for key, gate in gates.items():
                gate_seconds[key] = min(gate_seconds[key], bench.seconds(place.gate(gate)))
    added = {key: max(0.0, gate_seconds[key] - without[place]) for place, gates in by_place.items() for key in gates}
    return FpsTable(known.conditions, {**known.plain, **plain_seconds}, {**known.gates, **added})


class _Bench:
    """Times what stands at the end of a branch, together with the addition of the shortcut."""

    def __init__(self, place: GateContext, conditions: Conditions, device: str) -> None:
        self._place = place
        self._features = _random((conditions.batch, *place.size), device)
        self._shortcut = _random((conditions.batch, *place.size), device)
        self._conditions = conditions
        self._device = device

    @torch.inference_mode()
    def seconds(self, end: nn.Module) -> float:
        """Of shortcut + end(features)."""
        end = end.to(self._device).eval()
        return _seconds(lambda: self._place.add(self._shortcut, end, self._features), GATE_SECONDS, self._conditions)


def measure_fps(network: nn.Module, shape: tuple[int, int, int], device: str) -> float:
    """Images per second of this network, under `conditions_for` such images."""
    conditions = conditions_for(shape, device)
    seconds = min(_forward_seconds(network, shape, conditions, device) for _ in range(ROUNDS))
    return conditions.batch / seconds


def estimate_training_seconds(
    network: nn.Module, task: Task, recipe: Recipe, images: Mapping[str, int], device: str
) -> float:
    """About how long this network trains: the time of one step and of one batch to judge, times their numbers.

    Timed on a part of a batch where images are large.

    Raises:
        UserError: it cannot be trained: see `Training`.
    """
    steps = steps_per_epoch(recipe, images["train"])
    trainable(network)
    network = network.to(device)
    conditions = conditions_for(task.shape, device)
    size = max(2, min(recipe.batch_size, conditions.batch // 2))
    batch = torch.rand((size, *task.shape), device=device)
    labels = torch.zeros(size, dtype=torch.int64, device=device)
    step = _seconds(lambda: cross_entropy(network.train()(batch), labels).backward(), 0.0, conditions)
    with torch.inference_mode():
        judge = _seconds(lambda: network.eval()(batch), 0.0, conditions)
    return recipe.epochs * (steps * step * recipe.batch_size + images["val"] * judge) / size


@torch.inference_mode()
def _forward_seconds(network: nn.Module, shape: tuple[int, int, int], conditions: Conditions, device: str) -> float:
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    images = _random((conditions.batch, *shape), device)
    return _seconds(lambda: network(images), PLAIN_SECONDS, conditions)


def _random(size: tuple[int, ...], device: str) -> Tensor:
    return torch.rand(size, device=device).contiguous(memory_format=torch.channels_last)


def _seconds(call: Callable[[], object], at_least: float, conditions: Conditions) -> float:
    from torch.utils.benchmark import Timer  # takes a moment

    timer = Timer("call()", globals={"call": call}, num_threads=conditions.threads)
    once = timer.timeit(1).mean  # after two calls to warm up
    return float(once if once > at_least else timer.timeit(math.ceil(at_least / once)).mean)
