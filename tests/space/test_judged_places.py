"""Gates in the libraries' networks, judged by their own block classes: the judge stands in benchmarks/places.py."""

import pytest

from benchmarks.places import judge, plain
from space.backbones import backbone

pytest.importorskip("timm")

TRICKY = {  # what it is that could be taken for something else
    "timm/test_resnet": "nothing",
    "timm/test_convnext": "channels last, and a layer scale",
    "timm/ghostnet_050": "shortcuts of two layers, branches that end in a concatenation",
    "timm/repghostnet_050": "sums of parallel layers",
    "timm/hrnet_w18_small": "sums of branches of several resolutions",
    "timm/rexnet_100": "sums with some of the channels, more than nine shapes of map",
    "timm/dpn48b": "sums with some of the channels, concatenations",
    "timm/edgenext_xx_small": "sums between groups of channels, channels last, layer scales",
    "timm/repvit_m1": "sums of parallel layers and what they are computed from",
    "timm/mixnet_l": "as many channels as pixels in a row",
    "timm/test_coatnet": "takes images of 160 pixels alone",
    "torchvision/mobilenet_v3_small": "attention of its own inside",
}
MORE = ["timm/maxvit_rmlp_pico_rw_256", "timm/fastvit_t8", "timm/res2net50_26w_4s", "timm/skresnet18", "timm/csatv2"]
MORE += ["timm/efficientformerv2_s0", "timm/shvit_s1", "timm/resnest14d", "timm/nf_regnet_b0", "timm/ghostnetv3_050"]
MORE += ["timm/efficientvit_b0", "timm/tf_efficientnet_b0", "timm/mobilenetv4_conv_small", "timm/dla46x_c"]
MORE += ["torchvision/convnext_tiny", "torchvision/regnet_y_400mf", "torchvision/mnasnet0_5"]
WITHOUT = ["timm/repvgg_a0", "timm/mobileone_s0", "timm/selecsls42"]
"""Without residual blocks, though they add."""


@pytest.mark.parametrize("name", [*TRICKY, *(pytest.param(name, marks=pytest.mark.long) for name in MORE)])
def test_each_residual_branch_of_a_library_has_the_place_that_an_expert_would_choose(name: str) -> None:
    judged = judge(name, "", plain(name))
    assert judged.verdict == "exact", judged.why


@pytest.mark.parametrize("name", WITHOUT)
def test_what_adds_without_a_residual_block_gets_one_line(name: str) -> None:
    judged = judge(name, "", plain(name))
    assert (judged.verdict, len(judged.why.splitlines())) == ("none", 1)
    assert "no residual branch found" in judged.why


def test_more_than_nine_shapes_of_map_are_stages_by_their_resolution() -> None:
    it = backbone("timm/rexnet_100")
    shapes = {(site.stage, site.channels) for site in it.sites}

    assert len(shapes) > 9
    assert len(it.layout) == len({site.stage for site in it.sites}) <= 9
    for number, stage in enumerate(it.layout):
        assert {(number, alike.channels) for alike in stage.widths} == {key for key in shapes if key[0] == number}
    assert sum(alike.blocks for stage in it.layout for alike in stage.widths) == len(it.sites)
