"""Pretrained weights: networks with gates begin as the plain ones, gates learn, and wrong files are refused."""

import pickle
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from space.attention import ATTENTION
from space.backbones import Backbone, backbone
from space.backbones.factories import called
from space.backbones.finding import found_backbone
from space.build import build, pretrained_parameters
from space.declared import DECLARED
from space.design import Design
from space.errors import UserError
from space.gating import Gated
from space.state import StateDict, fit_state, read_state
from tests.space.conftest import normal

CLASSES = 5
BACKBONES = {"torchvision/resnet18": 4, "timm/resnet26": 32, "preresnet20": 4, "timm/convnext_atto": 4}
"""And the reduction that leaves so many hidden units in them that not all ReLUs start closed, and not many more."""
DESIGNS = [
    Design(attention, sharing=str(sharing))
    for attention in ("se", "ras", "eca", "cbam", "dia", "sem", "spa")
    for sharing in DECLARED[attention].choices["sharing"].values
]
DEEP = ["se:depth=3", "se:depth=2,deepening=explicit", "eca:depth=2,sharing=stage", "spa:depth=2,deepening=explicit"]
DEEP += ["ras:depth=3,connection=tanh", "dia:cells=3,output=tanh", "dia:output=relu", "cbam:stages=13"]


def test_every_attention_with_every_sharing_is_among_these_designs() -> None:
    ours = {"se", "ras", "eca", "cbam", "dia", "sem", "spa"}
    assert ours <= ATTENTION.keys()
    assert {(d.attention, d["sharing"]) for d in DESIGNS} == {
        (name, sharing) for name in ours for sharing in (["stage"] if name == "dia" else ["block", "stage"])
    }


@cache
def trained(name: str) -> tuple[nn.Module, StateDict]:
    """The plain network as if it were trained, in double precision, and its state."""
    it = backbone(name)
    generator = torch.Generator().manual_seed(0)
    network = it.skeleton(3, CLASSES).to_empty(device="cpu").double()
    for parameter in network.parameters():
        bound = (3.0 / parameter[0].numel()) ** 0.5 if parameter.dim() > 1 else 1.0
        nn.init.uniform_(parameter, -bound if parameter.dim() > 1 else 0.5, bound, generator=generator)
    for path, buffer in network.named_buffers():
        low, high = (0.5, 1.5) if path.endswith("var") else (-0.2, 0.2)
        buffer.copy_(torch.empty(buffer.shape).uniform_(low, high, generator=generator))
    return network.eval(), network.state_dict()


def quick(name: str) -> Backbone:
    """The backbone, quickly made by a copy, with other weights."""

    def make(in_channels: int, num_classes: int) -> nn.Module:
        network = deepcopy(trained(name)[0])
        for tensor in network.state_dict().values():
            tensor.fill_(0.5)
        return network

    return replace(backbone(name), make=make)


def built(name: str, design: Design) -> nn.Module:
    """With gates, from the weights of the plain network."""
    if "reduction" in DECLARED[design.attention].choices:
        design = Design.from_dict({**design.to_dict(), "reduction": BACKBONES[name]})
    torch.manual_seed(0)
    return build(design, quick(name), CLASSES, weights=trained(name)[1]).double()


@cache
def plain_logits(name: str) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = trained(name)[0](normal(2, 3, 32, 32))
    return logits


@pytest.mark.parametrize(
    ("name", "design"),
    [*product(BACKBONES, DESIGNS), *product(["torchvision/resnet18", "preresnet20"], map(Design.parse, DEEP))],
    ids=str,
)
def test_before_training_the_network_computes_what_the_plain_one_does(name: str, design: Design) -> None:
    network = built(name, design).eval()
    sites = [site for site in backbone(name).sites if design.attends(site.stage)]
    with torch.inference_mode():
        logits = network(normal(2, 3, 32, 32))

    assert sum(isinstance(module, Gated) for module in network.modules()) == len(sites) > 0
    assert plain_logits(name).std() > 1e-3
    torch.testing.assert_close(logits, plain_logits(name), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("design", DESIGNS, ids=str)
@pytest.mark.parametrize("name", BACKBONES)
def test_from_there_every_parameter_of_a_gate_learns(name: str, design: Design) -> None:
    network = built(name, design).float().train()
    gates = {path: p for path, p in network.named_parameters() if ".gate." in path}
    for path, parameter in network.named_parameters():
        parameter.requires_grad_(path in gates)
    optimizer = torch.optim.SGD(gates.values(), lr=0.1)
    largest = dict.fromkeys(gates, 0.0)
    side = 32 if "convnext" in name else 16
    images, labels = normal(6, 3, side, side).float(), torch.arange(6) % CLASSES
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        for path, parameter in gates.items():
            assert parameter.grad is not None, path
            assert bool(parameter.grad.isfinite().all()), path
            largest[path] = max(largest[path], float(parameter.grad.abs().max()))
        optimizer.step()

    assert gates
    assert {path: size for path, size in largest.items() if size < 1e-12} == {}


# Which parameters are pretrained


class Small(nn.Module):
    """A network of one block."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, bias=False)
        self.conv = nn.Conv2d(4, 4, 1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        out: Tensor = self.fc((x + self.bn(self.conv(x))).mean((2, 3)))
        return out


NAMES = ["stem.weight", "conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"]
NAMES += ["bn.num_batches_tracked", "fc.weight", "fc.bias"]


@pytest.mark.parametrize("design", ["none", "se:reduction=1", "dia:reduction=1", "cbam", "ras:depth=3", "spa"])
@pytest.mark.parametrize("name", ["small", "preresnet20"])
def test_pretrained_are_all_parameters_but_the_gates_and_the_last_layer(name: str, design: str) -> None:
    it = found_backbone("small", called("small", Small)) if name == "small" else backbone(name)
    plain = it.make(3, 5)
    network = build(Design.parse(design), it, 5, weights=plain.state_dict())
    names = {id(parameter): path for path, parameter in network.named_parameters()}
    found = [names[id(parameter)] for parameter in pretrained_parameters(network, it.classifier)]

    assert [path.replace(".end.", ".") for path in found] == [
        path for path, _ in plain.named_parameters() if not path.startswith("fc.")
    ]
    assert len(pretrained_parameters(network, "")) == len(found) + 2


# Files


def state(num_classes: int = 10) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {name: tensor + 1 for name, tensor in Small(num_classes).state_dict().items()}


def loaded(weights: StateDict, num_classes: int = 10) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What a network is before and after it is given these weights."""
    torch.manual_seed(2)
    network = Small(num_classes)
    before = deepcopy(network.state_dict())
    fit_state(network, weights, "fc")
    return before, network.state_dict()


def error(call: Callable[[], object]) -> str:
    """The one line that a mistake gets."""
    with pytest.raises(UserError) as raised:
        call()
    assert len(str(raised.value).splitlines()) == 1
    return str(raised.value)


def assert_same(found: StateDict, expected: StateDict) -> None:
    torch.testing.assert_close(dict(found), dict(expected), rtol=0, atol=0)


def prefixed(prefix: str, weights: StateDict) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in weights.items()}


WRAPPED: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "a state": lambda weights: weights,
    "state_dict": lambda weights: {"state_dict": weights, "epoch": 3, "args": {"lr": 0.1}},
    "model": lambda weights: {"model": weights, "optimizer": {"state": {}, "param_groups": []}},
    "two of them": lambda weights: {"model": {"state_dict": weights}},
    "DataParallel": lambda weights: {"state_dict": prefixed("module.", weights)},
    "torch.compile": lambda weights: prefixed("_orig_mod.", weights),
    "both": lambda weights: prefixed("module._orig_mod.", weights),
    "Lightning": lambda weights: {"state_dict": prefixed("model.", weights), "callbacks": {}},
    "half precision": lambda weights: {name: tensor.double() for name, tensor in weights.items()},
}


@pytest.mark.parametrize("how", WRAPPED)
def test_a_state_is_found_in_what_training_scripts_save(tmp_path: Path, how: str) -> None:
    path = tmp_path / "weights.pt"
    torch.save(WRAPPED[how](state()), path)
    assert_same(loaded(read_state(path))[1], state())


@pytest.mark.parametrize("prefix", ["", "module."])
def test_safetensors_are_read(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(prefixed(prefix, state()), path)
    assert_same(loaded(read_state(path))[1], state())


def test_a_prefix_that_the_network_has_itself_stays() -> None:
    network = nn.Sequential()
    network.add_module("module", Small())
    fit_state(network, prefixed("module.", state()), "module.fc")
    assert_same(network.state_dict(), prefixed("module.", state()))


def test_the_counts_of_batches_may_be_missing() -> None:
    weights = state()
    del weights["bn.num_batches_tracked"]
    assert_same(loaded(weights)[1], state() | {"bn.num_batches_tracked": torch.tensor(0)})


@pytest.mark.parametrize("classes", [5, 1000])
def test_the_last_layer_is_fresh_where_the_classes_differ_in_number_and_all_else_is_loaded(classes: int) -> None:
    before, after = loaded(state(), classes)
    last = {name: before[name] for name in ("fc.weight", "fc.bias")}
    assert_same(after, state() | last)


def test_the_last_layer_is_fresh_where_there_are_no_weights_for_it() -> None:
    weights = state()
    del weights["fc.weight"], weights["fc.bias"]
    before, after = loaded(weights)
    assert_same(after, {**weights, "fc.weight": before["fc.weight"], "fc.bias": before["fc.bias"]})


def test_another_layer_of_as_many_units_is_no_last_layer() -> None:
    network = Small(5)
    before = deepcopy(network.state_dict())
    message = error(lambda: fit_state(network, state(), ""))
    assert message.endswith("of another shape fc.weight (10, 4) for (5, 4), fc.bias (10,) for (5,)")
    assert_same(network.state_dict(), before)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"conv.weight": None}, "missing conv.weight"),
        ({"more": torch.ones(1)}, "not in the network more"),
        ({"conv.weight": torch.ones(4, 3, 1, 1)}, "of another shape conv.weight (4, 3, 1, 1) for (4, 4, 1, 1)"),
        ({"bn.bias": None, "bn.beta": torch.ones(4)}, "missing bn.bias; not in the network bn.beta"),
        (dict.fromkeys(NAMES[:6]), "missing " + ", ".join(NAMES[:5]) + " and 1 more"),
        (dict.fromkeys(NAMES[:5]), "missing " + ", ".join(NAMES[:5])),
        ({f"n{i}": torch.ones(1) for i in range(9)}, "not in the network n0, n1, n2, n3, n4 and 4 more"),
    ],
)
def test_names_and_shapes_that_do_not_fit_are_told_and_nothing_is_loaded(
    change: dict[str, Tensor | None], expected: str
) -> None:
    weights = {name: tensor for name, tensor in (state() | change).items() if tensor is not None}
    network = Small()
    before = deepcopy(network.state_dict())

    message = error(lambda: fit_state(network, weights, "fc"))
    assert message == f"--weights: they do not fit the backbone: {expected}"
    assert_same(network.state_dict(), before)


class Code:
    """Runs something when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


WRONG: dict[str, Callable[[Path], object]] = {
    "code": lambda path: torch.save({"state_dict": state(), "hook": Code()}, path),
    "a pickle with code": lambda path: path.write_bytes(pickle.dumps(Code())),
    "a whole network": lambda path: torch.save(Small(), path),
    "text": lambda path: path.write_text("no weights"),
    "nothing": lambda path: path.write_bytes(b""),
    "a picture": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "a number": lambda path: torch.save(3, path),
    "a tensor": lambda path: torch.save(torch.ones(3), path),
    "an empty state": lambda path: torch.save({}, path),
    "a state without tensors": lambda path: torch.save({"state_dict": {"epoch": 3}}, path),
    "half a file": lambda path: path.write_bytes(_whole(path)[:-200]),
}


def _whole(path: Path) -> bytes:
    torch.save(state(), path)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_file_of_weights_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, suffix: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"weights.{suffix}"
    WRONG[what](path)
    message = error(lambda: read_state(path))

    assert message.startswith(f"--weights {path}: no")
    assert "torch.save(network.state_dict(), FILE)" in message
    assert not Path("ran").exists()


@pytest.mark.parametrize("seed", range(20))
def test_no_bytes_at_all_make_the_reader_raise_anything_else(tmp_path: Path, seed: int) -> None:
    numbers = torch.Generator().manual_seed(seed)
    path = tmp_path / "weights.pt"
    path.write_bytes(b"\x80\x02" + bytes(torch.randint(256, (300,), generator=numbers).tolist()))
    assert error(lambda: read_state(path)).startswith(f"--weights {path}: not a file of tensors alone")


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_a_file_that_is_not_there_gets_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "weights.pt"
    if kind == "folder":
        path.mkdir()
    assert error(lambda: read_state(path)) == f"--weights {path}: no such file"


def test_a_design_that_would_not_learn_from_a_gate_of_1_is_refused() -> None:
    it = found_backbone("small", called("small", Small))
    design = Design("eca", depth=2, connection="identity")
    assert "would never learn" in error(lambda: build(design, it, weights=it.make(3, 10).state_dict()))
