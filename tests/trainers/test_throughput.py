"""FPS: the table that predicts it, and what it predicts."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from space.backbones import backbone
from space.build import build
from space.choices import Candidate, SearchSpace
from space.design import Design
from space.errors import UserError
from trainers import throughput
from trainers.counting import attended_stages, computation
from trainers.recipe import Recipe
from trainers.task import Task
from trainers.throughput import (
    Conditions,
    FpsTable,
    conditions_for,
    estimate_training_seconds,
    gate_key,
    measure_fps,
    measure_table,
)

TASK = Task(10, (1, 4, 4))
BACKBONES = {name: backbone(name).layout for name in ("resnet11", "resnet20")}


@pytest.fixture(scope="module")
def candidates() -> list[Candidate]:
    return list(SearchSpace.load("small", BACKBONES).enumerate())


@pytest.fixture(scope="module")
def table(candidates: list[Candidate]) -> Iterator[FpsTable]:
    """A table measured as quickly as can be."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"ROUNDS": 1, "PLAIN_SECONDS": 0.0, "GATE_SECONDS": 0.0}.items():
            patch.setattr(throughput, name, value)
        yield measure_table(candidates, TASK, "cpu")


def by_hand(gates: dict[str, float] | None = None) -> FpsTable:
    return FpsTable(Conditions(device="a clock", batch=100), {"resnet20": 0.5}, gates or {})


@pytest.mark.parametrize("name", BACKBONES)
def test_without_attention_fps_is_the_batch_over_its_seconds(table: FpsTable, name: str) -> None:
    assert table.fps(Design(), name, TASK) == table.conditions.batch / table.plain[name]
    assert by_hand().fps(Design(), "resnet20", TASK) == 200


def test_each_gate_adds_its_seconds_once_a_block() -> None:
    gates = {"se:depth=2 64x4x4": 0.1, "se:depth=2 128x2x2": 0.02, "se:depth=2 256x1x1": 0.003}
    for text, seconds in [("", 0.5 + 2 * 0.123), (",stages=13", 0.5 + 2 * 0.103), (",sharing=stage", 0.5 + 2 * 0.123)]:
        fps = by_hand(gates).fps(Design.parse(f"se:depth=2{text}"), "resnet20", TASK)
        assert fps == pytest.approx(100 / seconds)


def test_a_table_says_what_it_has() -> None:
    gates = {"se 64x4x4": 0.1, "se 128x2x2": 0.02}
    assert by_hand(gates).has([("resnet20", Design("se", stages="12"))], TASK)
    assert not by_hand(gates).has([("resnet20", Design("se"))], TASK)
    assert not by_hand(gates).has([("resnet11", Design())], TASK)


def test_every_design_of_the_space_has_its_fps(table: FpsTable, candidates: list[Candidate]) -> None:
    assert all(0 < table.fps(design, name, TASK) < float("inf") for name, design in candidates)


def test_the_table_holds_what_the_candidates_need_and_nothing_else(
    table: FpsTable, candidates: list[Candidate]
) -> None:
    needed = {
        gate_key(computation(design), stage.place)
        for name, design in candidates
        for stage in attended_stages(design, name, TASK)
    }
    assert set(table.gates) == needed
    assert set(table.plain) == set(BACKBONES)


def test_gates_never_make_a_network_faster(table: FpsTable, candidates: list[Candidate]) -> None:
    for name, design in candidates:
        assert table.fps(design, name, TASK) <= table.fps(Design(), name, TASK)
        for stages in ("1", "2", "3"):
            if design.attention != "none" and design.stages is None:
                part = Design.from_dict({**design.to_dict(), "stages": stages})
                assert table.fps(design, name, TASK) <= table.fps(part, name, TASK)


def test_designs_that_compute_the_same_have_the_same_fps(table: FpsTable) -> None:
    for text in ("se:sharing=stage", "se:start=unit", "se:stages=123"):
        assert table.fps(Design.parse(text), "resnet20", TASK) == table.fps(Design("se"), "resnet20", TASK)


class Written(TorchFunctionMode):
    """Counts the numbers that functions return."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        self.count += out.numel() if isinstance(out, Tensor) else 0
        return out


def written(call: Callable[[], object], at_least: float, conditions: Conditions) -> float:
    """A clock that goes by what is written: exact, and the same whatever else runs."""
    mode = Written()
    with mode:
        call()
    return mode.count


DESIGNS = ("se", "ras", "eca:depth=3", "cbam", "sem:stages=2", "spa:depth=2,connection=tanh")
ONE_BLOCK = ("resnet11", "preresnet11", "wrn10-1", "resnet11+no_skip")


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
        "timm/resnet18",
    ],
)
def test_what_the_table_predicts_is_what_the_network_with_gates_computes(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name.startswith("timm/"):
        pytest.importorskip("timm")
    for constant, value in {"ROUNDS": 1, "BATCH": 2, "_seconds": written}.items():
        monkeypatch.setattr(throughput, constant, value)
    task = Task(10, (3, 32, 32))
    one_block = ("dia", "dia:cells=2") if name in ONE_BLOCK else ()  # further blocks go on from a state
    designs = [Design.parse(text) for text in (*DESIGNS, *one_block)]
    table = measure_table([(name, design) for design in designs], task, "cpu")

    for design in designs:
        fps = measure_fps(build(design, backbone(name), task.num_classes), task.shape, "cpu")
        assert table.fps(design, name, task) == pytest.approx(fps, rel=1e-9), design
        assert fps < table.fps(Design(), name, task)


def test_a_table_survives_json(table: FpsTable) -> None:
    assert FpsTable.from_json(json.loads(json.dumps(table.to_json()))) == table


def test_the_conditions_say_what_was_measured(table: FpsTable) -> None:
    assert table.conditions.device == throughput.device_name("cpu") != ""
    assert table.conditions.threads == 1


def test_a_network_is_measured_in_images_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "_seconds", lambda call, at_least, conditions: 0.25)
    assert measure_fps(nn.Flatten(), (1, 8, 8), "cpu") == conditions_for((1, 8, 8), "cpu").batch / 0.25


def test_timing_counts_the_seconds_of_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    seconds = throughput._seconds(lambda: calls.append(1), 0.0, Conditions(device="x", batch=1))
    assert calls
    assert 0 < seconds < 1


@pytest.mark.parametrize(("images", "steps"), [(40, 4), (41, 4), (42, 5)])
def test_training_takes_its_steps_and_validations(monkeypatch: pytest.MonkeyPatch, images: int, steps: int) -> None:
    def seconds(call: Callable[[], object], at_least: float, conditions: Conditions) -> float:
        return 0.5 if isinstance(call(), torch.Tensor) else 2.0  # judging gives logits, a training step nothing

    monkeypatch.setattr(throughput, "_seconds", seconds)
    recipe = Recipe(epochs=3, batch_size=10)
    network = build(Design(), backbone("resnet11"), 10, 1)
    estimate = estimate_training_seconds(network, TASK, recipe, {"train": images, "val": 30, "test": 1}, "cpu")

    assert estimate == pytest.approx(3 * (steps * 2.0 + 3 * 0.5))


def test_the_duration_of_a_training_in_which_nothing_learns_is_a_mistake() -> None:
    network = build(Design(), backbone("resnet11"), 10, 1).requires_grad_(False)
    with pytest.raises(UserError, match="frozen"):
        estimate_training_seconds(network, TASK, Recipe(epochs=3, batch_size=10), {"train": 9, "val": 9}, "cpu")
    network.get_submodule("fc").requires_grad_(True)
    assert estimate_training_seconds(network, TASK, Recipe(epochs=3, batch_size=10), {"train": 9, "val": 9}, "cpu") > 0
