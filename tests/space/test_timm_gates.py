"""How our gates relate to timm's, as docs/timm.md says: parameters, and what they compute with the same weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from space.attention import stage_gates
from space.attention.eca import kernel_size
from space.declarations import hidden_width
from space.design import Design
from tests.space.conftest import count, normal, randomised

DOCS = Path(__file__).parents[2] / "docs" / "timm.md"
CHANNELS = (8, 16, 24, 40, 64, 96, 128, 192, 256, 384, 512, 1000, 1024, 2048)


@pytest.fixture(scope="module")
def create_attn() -> Any:
    """Maker of timm's modules."""
    return pytest.importorskip("timm.layers").create_attn


def ours(attention: str, channels: int) -> nn.Module:
    return stage_gates(Design(attention), channels, blocks=1)[0]


def timm_se_width(channels: int) -> int:
    """To the nearest multiple of 8, at least 8."""
    return max(8, (channels // 2 + 32) // 64 * 8)


def timm_cbam_width(channels: int) -> int:
    """To the nearest integer, at least 1."""
    return max(1, (channels + 8) // 16)


@pytest.mark.parametrize("channels", CHANNELS)
def test_se_differs_by_the_rounding_of_the_hidden_width(create_attn: Any, channels: int) -> None:
    mine, theirs = hidden_width(channels, 16), timm_se_width(channels)
    assert count(create_attn("se", channels)) == 2 * channels * theirs + theirs + channels
    assert count(ours("se", channels)) - count(create_attn("se", channels)) == (2 * channels + 1) * (mine - theirs)
    if channels % 128 == 0:
        assert mine == theirs


@pytest.mark.parametrize("channels", CHANNELS)
def test_eca_is_equal(create_attn: Any, channels: int) -> None:
    assert count(ours("eca", channels)) == count(create_attn("eca", channels)) == kernel_size(channels)


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_eca_has_one_tap_and_timms_three_where_channels_are_fewer_than_8(create_attn: Any, channels: int) -> None:
    assert (count(ours("eca", channels)), count(create_attn("eca", channels))) == (1, 3)


@pytest.mark.parametrize("channels", CHANNELS)
def test_cbam_differs_by_the_biases_of_the_bottleneck_and_by_rounding(create_attn: Any, channels: int) -> None:
    mine, theirs = hidden_width(channels, 16), timm_cbam_width(channels)
    assert count(create_attn("cbam", channels)) == 2 * channels * theirs + 100
    added = mine + channels + 2 * channels * (mine - theirs)
    assert count(ours("cbam", channels)) - count(create_attn("cbam", channels)) == added
    if channels % 16 == 0:
        assert mine == theirs


def copied(into: nn.Module, weights: dict[str, Tensor]) -> nn.Module:
    state = into.state_dict()
    assert weights.keys() <= state.keys()
    into.load_state_dict(state | {name: value.reshape(state[name].shape) for name, value in weights.items()})
    return into


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("attention", ["se", "eca", "cbam"])
def test_with_the_weights_of_timm_our_gates_compute_the_same(create_attn: Any, attention: str, training: bool) -> None:
    theirs = randomised(create_attn(attention, 128)).train(training)
    w = theirs.state_dict()
    if attention == "se":
        names = {"reduce": "fc1", "excite": "fc2"}
        given = {f"excitations.0.{a}.{p}": w[f"{b}.{p}"] for a, b in names.items() for p in ("weight", "bias")}
    elif attention == "eca":
        given = {"excitations.0.conv.weight": w["conv.weight"]}
    else:
        given = {"mlp.reduce.weight": w["channel.fc1.weight"], "mlp.excite.weight": w["channel.fc2.weight"]}
        given |= {f"mlp.{layer}.bias": torch.zeros(n) for layer, n in (("reduce", 8), ("excite", 128))}
        given |= {name.replace(".conv.bn", ".bn"): v for name, v in w.items() if name.startswith("spatial.conv.bn")}
        given["spatial.conv.weight"] = w["spatial.conv.conv.weight"].flip(1)  # maxima first, means second
    mine = copied(ours(attention, 128).double(), given).train(training)
    x = normal(3, 128, 5, 4)

    torch.testing.assert_close(mine(x) * x, theirs(x))


def test_the_table_of_the_docs_is_what_its_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("timm")
    from benchmarks.timm_gates import print_params

    print_params()
    assert capsys.readouterr().out in DOCS.read_text()
