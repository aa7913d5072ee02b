"""Gates in networks, ours and foreign ones: where they stand, and that nothing else changes."""

from collections.abc import Iterator

import pytest
import torch
import torchvision
from torch import Tensor, nn

from space.backbones import backbone
from space.build import build
from space.design import Design
from space.errors import UserError
from space.gating import Gated, Site, place_gates, residual

DESIGNS = ["se", "ras", "eca", "cbam", "dia", "se:depth=3,bn=shared,sharing=stage", "dia:stages=2", "cbam:stages=13"]
EACH_DESIGN = pytest.mark.parametrize("design", DESIGNS)


class Half(nn.Module):
    """A gate that halves the first channel and keeps the others."""

    def forward(self, features: Tensor) -> Tensor:
        gate = torch.ones(len(features), features.shape[1], 1, 1)
        gate[:, 0] = 0.5
        return gate


def backbone_weights(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, value in network.state_dict().items():
        if ".gate." not in name:
            yield name.replace(".end.", "."), value


@EACH_DESIGN
def test_the_same_seed_gives_the_same_backbone_whatever_the_design(design: str) -> None:
    networks = []
    for text in ("none", design):
        torch.manual_seed(3)
        networks.append(build(Design.parse(text), backbone("resnet20")))
    plain, gated = (dict(backbone_weights(network)) for network in networks)

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


def test_sharing_gives_the_blocks_of_a_stage_one_excitation_but_connections_of_their_own() -> None:
    network = build(Design("se", depth=2, sharing="stage"), backbone("resnet29"))
    for stage in range(3):
        gates = [network.get_submodule(f"stages.{stage}.{block}.bn3.gate") for block in range(3)]
        assert len({id(gate.excitation) for gate in gates}) == 1
        assert len({id(gate.get_submodule("connections.0")) for gate in gates}) == 3
    ends = [network.get_submodule(f"stages.{stage}.0.bn3.gate") for stage in range(3)]
    assert len({id(gate.excitation) for gate in ends}) == 3


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
    in_one_pass = [residual(shortcut, module, x) for module, shortcut, x in branches]
    in_two = [shortcut + module(x) for module, shortcut, x in branches]

    torch.testing.assert_close(in_one_pass, in_two)


def test_the_sum_without_a_gate_is_shortcut_plus_branch() -> None:
    end, x, shortcut = nn.Conv2d(2, 2, 1), torch.randn(2, 2, 3, 3), torch.randn(2, 2, 3, 3)
    torch.testing.assert_close(residual(shortcut, end, x), shortcut + end(x))


RESNET18_SITES = [
    Site(f"layer{stage + 1}.{block}.bn2", stage, 64 * 2**stage) for stage in range(4) for block in range(2)
]


def foreign(design: str) -> nn.Module:
    torch.manual_seed(0)
    network: nn.Module = torchvision.models.resnet18(num_classes=5)
    place_gates(network, RESNET18_SITES, Design.parse(design))
    return network.eval()


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
                lambda _, __, out, inner=inner: seen.append((out.clone(), inner[0] * inner[1]))
            )
    with torch.inference_mode():
        network(torch.randn(2, 3, 32, 32))

    assert len(seen) == sum(Design.parse(design).attends(site.stage) for site in RESNET18_SITES)
    for out, branch_times_gate in seen:
        torch.testing.assert_close(out, branch_times_gate)


@pytest.mark.parametrize("design", ["se:start=unit", "ras:start=unit", "dia:start=unit", "cbam:start=unit,stages=4"])
def test_a_foreign_network_with_gates_of_one_is_the_network_itself(design: str) -> None:
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(foreign(design)(images), foreign("none")(images), rtol=0, atol=1e-6)
