"""What networks cost, from their parts."""

import json
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from space.backbones import backbone
from space.build import build
from space.choices import Candidate
from space.design import Design
from space.space_files import load_space
from trainers.costs import COSTS
from trainers.costs.measured import CostOfParts
from trainers.costs.timed import Timed
from trainers.deployment import DTYPES, FORMS, Deployment
from trainers.measuring import parts
from trainers.measuring.blocks import CutBlock
from trainers.measuring.meter import Clock, Meter
from trainers.measuring.parts import Conditions, Parts, gates_of, measure
from trainers.measuring.runs import run_of
from trainers.measuring.timing import Call, Figure
from trainers.task import Task

TASK = Task(10, (1, 4, 4))
CONDITIONS = Conditions(device="a clock", form="folded", dtype="float32", batch=100)
PLAIN = Design()


def by_hand(gates: Mapping[str, Figure] | None = None) -> Timed:
    """FPS of ResNet20s whose plain one takes half a second for its batch."""
    cost = COSTS["fps"](TASK, Deployment())
    assert isinstance(cost, Timed)
    cost.parts = Parts(CONDITIONS, {"resnet20": Figure(0.5)}, gates or {})
    return cost


def gates(text: str, *seconds: float, spread: float = 0.0) -> dict[str, Figure]:
    """What a design's gate adds to a block of each stage of a ResNet20."""
    everywhere = gates_of(Design.parse(text), "resnet20", TASK)
    return {key: Figure(s, spread) for (_, key), s in zip(everywhere, seconds, strict=True)}


def test_the_plain_network_has_its_own_figure() -> None:
    cost = by_hand()
    assert cost.of("resnet20", PLAIN) == cost.batch / 0.5


@pytest.mark.parametrize(
    ("more", "seconds"),
    [("", 0.5 + 2 * 0.123), (",stages=13", 0.5 + 2 * 0.103), (",sharing=stage", 0.5 + 2 * 0.123)],
)
def test_each_gate_adds_its_seconds_once_a_block(more: str, seconds: float) -> None:
    cost = by_hand(gates("se:depth=2", 0.1, 0.02, 0.003))
    assert cost.of("resnet20", Design.parse(f"se:depth=2{more}")) == pytest.approx(cost.batch / seconds)


def test_differences_below_the_spread_are_none() -> None:
    figures = {**gates("se", 0.010, 0.01, 0.01, spread=0.005), **gates("eca", 0.011, 0.01, 0.01, spread=0.005)}
    figures |= gates("cbam", 0.1, 0.1, 0.1, spread=0.005)
    cost = by_hand(figures)
    fps = {text: cost.of("resnet20", Design(text)) for text in ("se", "eca", "cbam")}
    assert fps["se"] == fps["eca"] > fps["cbam"]
    assert cost.of("resnet20", Design("cbam")) == pytest.approx(cost.batch / (0.5 + 0.6), rel=0.03)


def test_parts_say_what_they_have() -> None:
    cost = by_hand(gates("se", 0.1, 0.1, 0.1))
    assert cost.has([("resnet20", Design("se", stages="12")), ("resnet20", PLAIN)])
    assert not cost.has([("resnet20", Design("eca"))])
    assert not cost.has([("resnet11", PLAIN)])


def test_parts_survive_json() -> None:
    there = Parts(CONDITIONS, {"resnet20": Figure(0.5, 0.1)}, gates("se", 0.1, 0.2, 0.3, spread=0.01))
    assert Parts.from_json(json.loads(json.dumps(there.to_json()))) == there


class Written(TorchFunctionMode):
    """Counts the numbers that functions return."""

    def __init__(self) -> None:
        super().__init__()
        self.count: int = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        self.count += out.numel() if isinstance(out, Tensor) else 0
        return out


READ: list[str] = []


class Counter(Meter[Call]):
    """A clock that goes by what is written: exact, and the same whatever else runs."""

    def call(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> Call:
        return run_of(module, inputs, self.deployment)

    def whole(self, calls: Mapping[str, Call]) -> Mapping[str, Figure]:
        READ.extend(calls)
        return {name: Figure(self._count(call)) for name, call in calls.items()}

    def beside(self, plain: Call, calls: Mapping[str, Call], block: CutBlock) -> Mapping[str, Figure]:
        READ.extend(calls)
        without = self._count(plain)
        return {name: Figure(self._count(call) - without) for name, call in calls.items()}

    def _count(self, call: Call) -> int:
        call()
        written = Written()
        with written:
            call()
        return written.count


DESIGNS = ("se", "ras", "eca:depth=3", "cbam", "sem:stages=2", "spa:depth=2,connection=tanh")
ONE_BLOCK = ("resnet11", "preresnet11", "wrn10-1", "resnet11+no_skip")


@pytest.mark.parametrize("form", ["folded", "eager"])
@pytest.mark.parametrize(
    "name",
    [
        *ONE_BLOCK,
        "resnet20",
        "preresnet20",
        "wrn16-1",
        "resnet20+no_skip",
        "preresnet20+no_bn",
        "resnet20@.*bn3",
        "resnet20@.*bn2",
        "imagenet/resnet18",
        "torchvision/resnet18",
        "torchvision/mobilenet_v2",
        "timm/resnet18",
        "timm/convnext_atto",
    ],
)
def test_what_parts_predict_is_what_the_network_with_gates_computes(name: str, form: str) -> None:
    if name.startswith("timm/"):
        pytest.importorskip("timm")
    task = Task(10, (3, 32, 32))
    one_block = ("dia", "dia:cells=2") if name in ONE_BLOCK else ()  # further blocks go on from a state
    designs = [Design.parse(text).canonical(backbone(name).layout) for text in (*DESIGNS, *one_block)]
    counter = Counter(Deployment(form=form))
    known = Parts(Conditions.of(counter.deployment, 2))
    found = measure([(name, it) for it in designs], task, known, counter)

    for design in designs:
        predicted = found.plain[name].value + sum(n * it.value for n, it in found.of_design(design, name, task))
        run = run_of(build(design, backbone(name), 10), (torch.rand(2, 3, 32, 32),), counter.deployment)
        assert counter.whole({"it": run})["it"].value == predicted, design
        assert form == "folded" or predicted > found.plain[name].value

    READ.clear()
    assert measure([(name, it) for it in designs], task, found, counter) == found
    assert not READ  # nothing was measured again


def test_what_is_measured_is_what_the_candidates_need_and_nothing_else() -> None:
    layouts = {name: backbone(name).layout for name in ("resnet11", "resnet20")}
    candidates: list[Candidate] = list(load_space("small", layouts).enumerate())
    found = measure(candidates, TASK, Parts(CONDITIONS), Counter(Deployment()))
    needed = {key for name, design in candidates for _, key in gates_of(design, name, TASK)}
    assert {*found.gates} == needed
    assert {*found.plain} == {*layouts}
    assert found.has(candidates, TASK)


def test_designs_that_compute_the_same_have_the_same_parts() -> None:
    for text in ("se:sharing=stage", "se:start=unit", "se:stages=123"):
        assert gates(text, 0.0, 0.0, 0.0) == gates("se", 0.0, 0.0, 0.0)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_runs_and_leaves_alone_what_it_is_given(form: str) -> None:
    if form == "onnxruntime":
        pytest.importorskip("onnxruntime")
    if form == "compiled" and shutil.which("g++") is None:
        pytest.skip("torch compiles for CPUs by g++")
    images = torch.rand(2, 3, 16, 16)
    network = build(Design("ras"), backbone("resnet11"), 10).eval()
    before, weights = images.clone(), {name: it.clone() for name, it in network.state_dict().items()}
    run = run_of(network, (images,), Deployment(form=form))
    found = run()
    logits = torch.from_numpy(found[0]) if isinstance(found, list) else found
    assert isinstance(logits, Tensor)
    with torch.inference_mode():
        torch.testing.assert_close(logits, network(images), rtol=1e-4, atol=1e-5)
    assert torch.equal(images, before)
    assert all(torch.equal(it, weights[name]) for name, it in network.state_dict().items())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cost", ["fps", "latency", "memory"])
def test_the_costs_of_parts(monkeypatch: pytest.MonkeyPatch, cost: str, dtype: str) -> None:
    monkeypatch.setattr(parts, "BATCH", 4)
    it = COSTS[cost](TASK, Deployment(dtype=dtype))
    assert isinstance(it, CostOfParts)
    it.prepare([("resnet11", PLAIN), ("resnet11", Design("cbam"))])
    plain, cbam = (it.of("resnet11", design) for design in (PLAIN, Design("cbam")))
    assert (cbam - plain) * it.quantity.sign <= 0 < plain
    assert it.conditions["dtype"] == dtype
    again = COSTS[cost](TASK, Deployment(dtype=dtype))
    assert isinstance(again, CostOfParts)
    again.restore(json.loads(json.dumps(it.to_json())))
    assert again.of("resnet11", Design("cbam")) == cbam
    whole = it.of_networks({"plain": build(PLAIN, backbone("resnet11"), 10, 1)})
    assert whole["plain"] > 0


def test_memory_is_that_of_parameters_and_of_the_most_that_is_held_at_a_time() -> None:
    task = Task(10, (3, 32, 32))
    found = {}
    for dtype in DTYPES:
        cost = COSTS["memory"](task, Deployment(dtype=dtype))
        assert isinstance(cost, CostOfParts)
        designs = [PLAIN, Design("cbam"), Design("spa")]
        cost.prepare([("resnet11", it) for it in designs])
        networks = {str(it): build(it, backbone("resnet11"), 10) for it in designs}
        for design, whole in zip(designs, cost.of_networks(networks).values(), strict=True):
            found[dtype, str(design)] = cost.of("resnet11", design)
            assert found[dtype, str(design)] == pytest.approx(whole, rel=0.05)
        parameters = sum(it.numel() for it in networks["spa"].parameters())
        width = torch.finfo(getattr(torch, dtype)).bits // 8
        assert found[dtype, "spa"] > parameters * width / 1e6
    assert found["float32", "none"] == pytest.approx(2 * found["bfloat16", "none"], rel=0.2)


def test_a_clock_reads_what_is_added() -> None:
    clock, matrix = Clock(Deployment()), torch.ones(64, 64)

    def work(times: int) -> Call:
        return lambda: [matrix @ matrix for _ in range(times)]

    block = CutBlock(nn.Identity(), (), backbone("resnet11").sites[0])
    added = clock.beside(work(10), {"less": work(1), "twice": work(20), "much": work(100)}, block)
    assert added["less"].value == 0.0  # a gate makes nothing faster
    assert 0 < added["twice"].value < added["much"].value
