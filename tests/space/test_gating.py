"""Gates in networks, ours and foreign ones: where they stand, and that nothing else changes."""

from copy import deepcopy
from functools import cache

import pytest
import torch
import torchvision
from torch import Tensor, nn

from space.attention import Gate, stage_gates
from space.attention.dia import DIAGate
from space.backbones import backbone
from space.build import build
from space.design import Design
from space.errors import UserError
from space.gating import Gated, Site, gated, place_gates, residual
from tests.space.conftest import batch_norm, count, normal, randomised, weights

DESIGNS = ["se", "ras", "eca", "cbam", "dia", "sem", "spa", "se:depth=3,bn=shared,sharing=stage", "dia:stages=2"]
DESIGNS += ["cbam:stages=13", "dia:output=tanh,cells=2", "spa:depth=2,deepening=explicit", "sem:sharing=stage"]
EACH_DESIGN = pytest.mark.parametrize("design", DESIGNS)


class Half(Gate):
    """A gate that halves the first channel and keeps the others."""

    def start_at_one(self) -> None:
        raise NotImplementedError

    def forward(self, features: Tensor) -> Tensor:
        gate = torch.ones(len(features), features.shape[1], 1, 1)
        gate[:, 0] = 0.5
        return gate


def backbone_weights(network: nn.Module) -> dict[str, Tensor]:
    """The tensors that the plain backbone has, too, by the names that they have there."""
    return {
        name.replace(".end.0.", ".").replace(".end.", "."): value
        for name, value in weights(network).items()
        if ".gate." not in name and ".end.1." not in name
    }


@pytest.mark.parametrize("name", ["resnet20", "preresnet20", "resnet20+no_bn"])
@EACH_DESIGN
def test_the_same_seed_gives_the_same_backbone_whatever_the_design(design: str, name: str) -> None:
    networks = []
    for text in ("none", design):
        torch.manual_seed(3)
        networks.append(build(Design.parse(text), backbone(name)))
    plain, gated = (backbone_weights(network) for network in networks)

    assert plain.keys() == gated.keys()
    assert all(torch.equal(plain[name], gated[name]) for name in plain)


@EACH_DESIGN
def test_gates_stand_at_the_sites_of_the_attended_stages_only(design: str) -> None:
    it = backbone("resnet20")
    parsed = Design.parse(design)
    network = build(parsed, it)
    gated = [name for name, module in network.named_modules() if isinstance(module, Gated)]

    assert gated == [site.path for site in it.sites if parsed.attends(site.stage)]


def test_a_stage_that_the_backbone_does_not_have_is_an_error() -> None:
    with pytest.raises(UserError, match=r"stages=4\b.*123"):
        build(Design("se", stages="4"), backbone("resnet11"))


@pytest.mark.parametrize(("deepening", "modules"), [("implicit", 1), ("explicit", 3)])
@pytest.mark.parametrize(("sharing", "owners"), [("block", 3), ("stage", 1)])
def test_sharing_gives_the_blocks_of_a_stage_the_same_modules_but_connections_of_their_own(
    deepening: str, modules: int, sharing: str, owners: int
) -> None:
    torch.manual_seed(0)
    network = build(Design("se", depth=3, deepening=deepening, connection="bn", sharing=sharing), backbone("resnet29"))
    gates = [[network.get_submodule(f"stages.{stage}.{block}.bn3.gate") for block in range(3)] for stage in range(3)]

    def different(part: str, among: list[nn.Module]) -> int:
        return len({id(module) for gate in among for module in gate.get_submodule(part).children()})

    for of_stage in gates:
        assert different("excitations", of_stage) == owners * modules
        assert different("connections", of_stage) == 3 * 2
    assert different("excitations", [gate for of_stage in gates for gate in of_stage]) == 3 * owners * modules


@pytest.mark.parametrize("attention", ["cbam", "sem"])
@pytest.mark.parametrize(("sharing", "owners"), [("block", 9), ("stage", 3)])
def test_gates_without_depth_are_shared_as_a_whole(attention: str, sharing: str, owners: int) -> None:
    network = build(Design(attention, sharing=sharing), backbone("resnet29"))
    assert len({id(module.gate) for module in network.modules() if isinstance(module, Gated)}) == owners


def test_a_gate_multiplies_the_output_of_what_it_stands_round() -> None:
    end = nn.Conv2d(2, 3, 1)
    x = torch.randn(2, 2, 4, 4)
    out = end(x)
    expected = torch.cat([out[:, :1] / 2, out[:, 1:]], dim=1)

    torch.testing.assert_close(Gated(end, Half())(x), expected)


@EACH_DESIGN
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_the_sum_in_one_pass_equals_shortcut_plus_gated_branch(design: str, training: bool) -> None:
    torch.manual_seed(0)
    it = backbone("resnet20")
    network = build(Design.parse(design).canonical(it.layout), it).double().train(training)
    branches: list[tuple[Gated, Tensor, Tensor]] = []
    for site in it.sites:
        module = network.get_submodule(site.path)
        if isinstance(module, Gated):
            shortcut, x = torch.randn(2, 4, site.channels, 3, 3, dtype=torch.float64)
            branches.append((module, shortcut, x))
    torch.manual_seed(0)  # for the dropout of dia
    in_one_pass = [residual(shortcut, module, x) for module, shortcut, x in branches]
    torch.manual_seed(0)
    in_two = [shortcut + module(x) for module, shortcut, x in branches]

    torch.testing.assert_close(in_one_pass, in_two)


def test_the_sum_without_a_gate_is_shortcut_plus_branch() -> None:
    end, x, shortcut = nn.Conv2d(2, 2, 1), torch.randn(2, 2, 3, 3), torch.randn(2, 2, 3, 3)
    torch.testing.assert_close(residual(shortcut, end, x), shortcut + end(x))


@EACH_DESIGN
def test_without_a_shortcut_there_is_the_gated_branch_alone(design: str) -> None:
    torch.manual_seed(0)
    gate = stage_gates(Design.parse(design), 8, blocks=1)[0].eval()
    end, x = nn.Conv2d(8, 8, 1), torch.randn(3, 8, 4, 4)

    torch.testing.assert_close(residual(None, end, x), end(x))
    torch.testing.assert_close(residual(None, Gated(end, gate), x), end(x) * gate(end(x)))


@pytest.mark.parametrize("design", ["dia", "se", "ras", "spa"])
@pytest.mark.parametrize("normalised", [True, False])
def test_dia_normalises_a_branch_that_is_not(design: str, normalised: bool) -> None:
    parsed = Design.parse(design)
    network = nn.Sequential(nn.Conv2d(2, 8, 1), nn.Conv2d(8, 4, 1)).double()
    sites = [Site("0", 0, 8, normalised), Site("1", 1, 4, normalised)]
    ends = [network[0], network[1]]
    place_gates(network, sites, parsed)
    randomised(network)
    x = normal(3, 2, 4, 4)
    for around, end in zip(network, ends, strict=True):
        assert isinstance(around, Gated)
        branch = end(x)
        if design == "dia" and not normalised:
            branch = batch_norm(weights(around), "end.1", branch, training=True)
        x, gate = around(x), around.gate(branch)
        torch.testing.assert_close(x, branch * gate)


@pytest.mark.parametrize("start", ["published", "unit"])
@pytest.mark.parametrize("design", ["dia", "se", "cbam", "sem", "spa:depth=2"])
@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_a_gate_on_a_map_with_its_channels_last_is_that_on_the_same_map(
    design: str, start: str, normalised: bool, training: bool
) -> None:
    parsed = Design.parse(f"{design}{',' if ':' in design else ':'}start={start}")
    first = gated(nn.Identity(), stage_gates(parsed, 8, blocks=1)[0], parsed, 8, normalised)
    last = gated(nn.Identity(), stage_gates(parsed, 8, blocks=1)[0], parsed, 8, normalised, channels_last=True)
    for module in (first, last):
        randomised(module.double()).train(training)
    x = normal(3, 8, 4, 5)
    assert count(first) == count(last)
    torch.testing.assert_close(last(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), first(x))


@pytest.mark.parametrize("design", ["se:sharing=stage", "dia", "sem:sharing=stage", "se"])
def test_blocks_of_a_stage_share_with_those_of_their_width(design: str) -> None:
    sites = [Site(str(n), 0, width) for n, width in enumerate((8, 4, 8, 4, 4))]
    network = nn.Sequential(*(nn.Identity() for _ in sites))
    place_gates(network, sites, Design.parse(design))
    own = [[id(p) for p in network.get_submodule(site.path).parameters()] for site in sites]

    shared = design != "se"
    assert all(
        (own[a] == own[b]) is (a == b or (shared and sites[a].channels == sites[b].channels))
        for a in range(5)
        for b in range(5)
    )
    if design == "dia":
        blocks = [network.get_submodule(f"{n}.gate") for n in range(5)]
        assert [(gate.block, gate.last) for gate in blocks if isinstance(gate, DIAGate)] == [
            (0, False),
            (0, False),
            (1, True),
            (1, False),
            (2, True),
        ]


RESNET18_SITES = [
    Site(f"layer{stage + 1}.{block}.bn2", stage, 64 * 2**stage) for stage in range(4) for block in range(2)
]


@cache
def resnet18() -> nn.Module:
    torch.manual_seed(0)
    network: nn.Module = torchvision.models.resnet18(num_classes=5)
    return network


def foreign(design: str) -> nn.Module:
    network = deepcopy(resnet18())
    place_gates(network, RESNET18_SITES, Design.parse(design))
    return network.eval()


def product_of(module: Gated, inner: list[Tensor]) -> Tensor:
    """Branch times gate; cbam's gate is not called: it multiplies by its two factors one after the other."""
    return inner[-2] * inner[-1] if len(inner) > 1 else inner[0] * module.gate(inner[0])


@EACH_DESIGN
def test_a_foreign_network_carries_gates(design: str) -> None:
    network = foreign(design)
    seen: list[tuple[Tensor, Tensor]] = []
    for site in RESNET18_SITES:
        module = network.get_submodule(site.path)
        if isinstance(module, Gated):
            inner: list[Tensor] = []
            for part in (module.end, module.gate):
                part.register_forward_hook(lambda _, __, out, inner=inner: inner.append(out))
            module.register_forward_hook(  # the block adds to this output in place
                lambda module, __, out, inner=inner: seen.append((out.clone(), product_of(module, inner)))
            )
    with torch.inference_mode():
        network(torch.randn(2, 3, 32, 32))

    assert len(seen) == sum(Design.parse(design).attends(site.stage) for site in RESNET18_SITES)
    for out, branch_times_gate in seen:
        torch.testing.assert_close(out, branch_times_gate)


@pytest.mark.parametrize("design", ["se", "ras", "dia:cells=2,output=tanh", "sem", "spa", "cbam:stages=4"])
def test_a_foreign_network_with_gates_of_one_is_the_network_itself(design: str) -> None:
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(
            foreign(f"{design}{',' if ':' in design else ':'}start=unit")(images),
            foreign("none")(images),
            rtol=0,
            atol=1e-6,
        )


def ours(num_classes: int) -> nn.Module:
    """A user's network of our blocks."""
    return backbone("preresnet11").make(3, num_classes)


@pytest.mark.parametrize(
    ("name", "fused"),
    [
        ("resnet11", {True}),
        ("preresnet11", {True}),
        ("wrn10-1", {True}),
        ("imagenet/resnext26-2x4", {True}),
        (r"resnet11@stages\.(.)\.0\.bn3", {True}),
        ("tests.space.test_gating:ours@stages.*conv3", {True}),
        ("resnet11+no_skip", {False}),
        (r"resnet11@stages\.0\.0\.bn3|stages\.1\.0\.bn2|stages\.2\.0\.bn3", {True, False}),
        ("torchvision/resnet18", {False}),
        ("tests.space.test_foreign:Own", {False}),
    ],
)
def test_a_site_is_fused_where_the_network_takes_the_gate_apart_instead_of_calling_it(
    name: str, fused: set[bool]
) -> None:
    it = backbone(name)
    network = build(Design("eca"), it).eval()
    called: set[str] = set()
    for site in it.sites:
        around = network.get_submodule(site.path)
        around.register_forward_hook(lambda module, inputs, output, path=site.path: called.add(path))
    with torch.inference_mode():
        network(torch.rand(1, 3, 64, 64))

    assert {site.fused for site in it.sites} == fused
    assert called == {site.path for site in it.sites if not site.fused}
