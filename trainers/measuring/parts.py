"""What networks cost, known from their parts: the plain network, and each kind of gate in the last block of each stage.

Both are measured once and stored with the study: so the cost of every design is known before training, and a design
costs the same throughout. A gate's figure is of a block of its own network with it beside the same block without.
"""

import statistics
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import nn

from space.backbones import backbone as find_backbone
from space.build import build
from space.choices import Candidate
from space.design import Design
from trainers.allocator import keep_freed_memory
from trainers.counting import GatedStage, all_stages, attended_stages, computation
from trainers.deployment import Deployment
from trainers.measuring.blocks import blocks_of
from trainers.measuring.meter import Meter
from trainers.measuring.timing import THREADS, Figure, device_name
from trainers.task import Task

C = TypeVar("C")
BEHIND_PLACE = ": "
BATCH = 128
LARGEST = 96 * 96
"""Pixels an image up to which a whole batch is taken; of larger ones fewer."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What was measured with; figures mean nothing without.

    Attributes:
        device: name of the processor.
        form: in which networks run, see `Deployment`.
        dtype: of weights and images.
        batch: images a forward pass.
        threads: CPU threads.
    """

    device: str
    form: str
    dtype: str
    batch: int
    threads: int = THREADS

    @classmethod
    def of(cls, deployment: Deployment, batch: int) -> "Conditions":
        """Here."""
        return cls(device=device_name(deployment.device), form=deployment.form, dtype=deployment.dtype, batch=batch)


def batch_of(task: Task) -> int:
    """Images of a batch that fills a processor."""
    _, height, width = task.shape
    return max(1, min(BATCH, BATCH * LARGEST // (height * width)))


@dataclass(frozen=True)
class Parts:
    """Figures of plain networks and of gates.

    Attributes:
        conditions: how they were measured.
        plain: by backbone.
        gates: by the keys of `gates_of`.
    """

    conditions: Conditions
    plain: Mapping[str, Figure] = field(default_factory=dict)
    gates: Mapping[str, Figure] = field(default_factory=dict)

    def of_design(self, design: Design, backbone: str, task: Task) -> Iterator[tuple[int, Figure]]:
        """The blocks that carry gates, and what the gate of each comes to, stage by stage.

        Raises:
            KeyError: a part of it is not measured, see `has`.
        """
        for stage, key in gates_of(design, backbone, task):
            yield stage.blocks, self.gates[key]

    def has(self, candidates: Collection[Candidate], task: Task) -> bool:
        """Whether all that these (backbone, design) pairs need is measured."""
        needed = {key for name, design in candidates for _, key in gates_of(design, name, task)}
        return needed <= self.gates.keys() and {name for name, _ in candidates} <= self.plain.keys()

    def step(self, backbone: str, task: Task) -> float:
        """How finely the sum of what gates add is known in this backbone: the spread with middling gates everywhere."""
        stages = all_stages(backbone, task)
        return sum(stage.blocks * self._spreads.get(_place_key(backbone, stage), 0.0) for stage in stages)

    @cached_property
    def _spreads(self) -> Mapping[str, float]:
        """The middle one of all gates of each place."""
        spreads = defaultdict[str, list[float]](list)
        for key, figure in self.gates.items():
            spreads[key.rpartition(BEHIND_PLACE)[0]].append(figure.spread)
        return {place: statistics.median(there) for place, there in spreads.items()}

    def completed_by(self, known: "Parts") -> "Parts":
        """These, with the figures of others where those have some."""
        return Parts(known.conditions, {**self.plain, **known.plain}, {**self.gates, **known.gates})

    def to_json(self) -> dict[str, Any]:
        """For the study; `from_json` is the way back."""
        return asdict(self)

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> "Parts":
        """The parts that `to_json` described."""
        plain, gates = ({key: Figure(*it) for key, it in table[kind].items()} for kind in ("plain", "gates"))
        return cls(Conditions(**table["conditions"]), plain, gates)


def gates_of(design: Design, backbone: str, task: Task) -> Iterator[tuple[GatedStage, str]]:
    """The stages that carry gates, with the name of each one's figure: where it stands, and what it computes."""
    computed = str(computation(design))
    for stage in attended_stages(design, backbone, task):
        yield stage, f"{_place_key(backbone, stage)}{BEHIND_PLACE}{computed}"


def _place_key(backbone: str, stage: GatedStage) -> str:
    return f"{backbone} {stage.number + 1} {stage.place}"


def measure(candidates: Sequence[Candidate], task: Task, known: Parts, meter: Meter[C]) -> Parts:
    """Measure every plain backbone and every kind of gate that these candidates need.

    Args:
        candidates: (backbone, design) pairs.
        task: what the networks are for.
        known: parts to complete; what is there is not measured again.
        meter: what they are measured with.
    """
    keep_freed_memory()
    plain, gates = dict(known.plain), dict(known.gates)
    for name in dict.fromkeys(name for name, _ in candidates):
        lacking = _lacking([it for backbone, it in candidates if backbone == name], name, task, gates)
        if name in plain and not lacking:
            continue
        images = torch.rand(known.conditions.batch, *task.shape)
        network = build(Design(), find_backbone(name), task.num_classes, task.shape[0])
        if name not in plain:
            plain |= meter.whole({name: meter.call(network, (images,))})
        blocks = blocks_of(network, find_backbone(name), images) if lacking else {}
        for stage, designs in lacking.items():
            block = blocks[stage.number, stage.place.size[0]]
            calls = {key: meter.call(block.with_gate(it), block.inputs) for key, it in designs.items()}
            gates |= meter.beside(meter.call(block.module, block.inputs), calls, block)
    return Parts(known.conditions, plain, gates)


def measure_networks(
    networks: Mapping[str, nn.Module], task: Task, batch: int, meter: Meter[C]
) -> Mapping[str, Figure]:
    """What whole networks come to, in turns."""
    keep_freed_memory()
    images = torch.rand(batch, *task.shape)
    return meter.whole({name: meter.call(it, (images,)) for name, it in networks.items()})


def _lacking(
    designs: Sequence[Design], backbone: str, task: Task, there: Collection[str]
) -> dict[GatedStage, dict[str, Design]]:
    """By stage the gates whose figures are not there, each by its key, as a design that has it."""
    found: dict[GatedStage, dict[str, Design]] = {}
    for design in designs:
        for stage, key in gates_of(design, backbone, task):
            if key not in there:
                found.setdefault(stage, {})[key] = computation(design)
    return found
