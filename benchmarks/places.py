"""How well gates are placed in networks that are not ours: every one of torchvision and timm, judged by its blocks.

    python benchmarks/places.py                  # all under 30 million parameters, five minutes
    python benchmarks/places.py --smallest       # the smallest of each family, a minute
    python benchmarks/places.py timm/ghostnet timm/hrnet

`space` finds places by watching a forward pass and knows no class. The judge goes another way: it knows each library's
block classes, and behind which module of a block an expert would put the gate: the last normalisation of the residual
branch, the last layer where none follows, and in front of layer scales, which start next to zero. A network is

    exact      one gate for each residual branch, where it belongs, and no other
    none       it has no residual branch of feature maps, and a line says so
    refused    it has some, and a line says that they are not found
    deviating  anything else

Networks stand on the meta device: they have shapes and no values.
"""

import argparse
import re
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import timm
import torch
import torchvision
from torch import nn

from space.backbones import Backbone, backbone
from space.backbones.backbone import on_meta
from space.backbones.libraries import TIMM, TORCHVISION, timm_network, torchvision_network
from space.errors import UserError

MOST_PARAMS = 30_000_000
VERDICTS = ("exact", "none", "refused", "deviating")
WORST = 40
"""Lines about networks that are not exact."""

Ends = tuple[str, ...]
"""Of each residual branch in a block: the name, a pattern, of what the gate stands behind; ? before those that may go
without, since they attend to tokens instead of convolving."""

TIMM_BLOCKS: dict[str, Ends] = {
    "byobnet.BasicBlock": (r"conv2_kxk\.bn",),
    "byobnet.BottleneckBlock": (r"conv3_1x1\.bn",),
    "byobnet.DarkBlock": (r"conv2_kxk\.bn",),
    "byobnet.EdgeBlock": (r"conv2_1x1\.bn",),
    "byobnet.SelfAttnBlock": (r"conv3_1x1\.bn",),
    "convmixer.Residual": (r"fn\.2",),
    "convnext.ConvNeXtBlock": (r"mlp\.fc2",),
    "cpubone.ResidualBlock": (r"main\..*",),
    "csatv2.Block": ("pwconv2",),
    "csatv2.TransformerBlock": ("?drop_path1", "?drop_path2"),
    "cspnet.BottleneckBlock": (r"conv3\.bn",),
    "cspnet.DarkBlock": (r"conv2\.bn",),
    "cspnet.EdgeBlock": (r"conv2\.bn",),
    "cspnext.CspNextBlock": (r"conv2\..*bn",),
    "dla.DlaBasic": ("bn2",),
    "dla.DlaBottleneck": ("bn3",),
    "dla.DlaBottle2neck": ("bn3",),
    "dla.DlaRoot": ("bn",),
    "dpn.DualPathBlock": (r"c1x1_c\.conv|c1x1_c1",),
    "edgenext.ConvBlock": (r"mlp\.fc2",),
    "edgenext.SplitTransposeBlock": (r"mlp\.fc2",),
    "efficientformer.MetaBlock2d": (r"mlp\.norm2",),
    "efficientformer_v2.EfficientFormerV2Block": (r"?token_mixer\.proj\..*", r"mlp\.fc2\.bn"),
    "efficientformer_v2.Downsample": (r"?attn\.proj\..*",),
    "_efficientnet_blocks.ConvBnAct": ("bn1",),
    "_efficientnet_blocks.DepthwiseSeparableConv": ("bn2",),
    "_efficientnet_blocks.InvertedResidual": ("bn3",),
    "_efficientnet_blocks.UniversalInvertedResidual": (r"(pw_proj|dw_end)\.bn",),
    "_efficientnet_blocks.MobileAttention": (r"attn\..*",),
    "_efficientnet_blocks.CondConvResidual": ("bn3",),
    "_efficientnet_blocks.EdgeResidual": ("bn2",),
    "efficientvit_msra.ConvMlp": (r"pw2\.bn",),
    "efficientvit_msra.ResidualDrop": (r"?m(\..*)?",),
    "efficientvit_mit.ResidualBlock": (r"main\.(point_conv|conv2|proj)\.(norm|conv)",),
    "fasternet.MLPBlock": (r"mlp\.\d",),
    "fastvit.RepMixerBlock": (r"mlp\.fc2",),
    "fastvit.AttentionBlock": (r"?token_mixer(\..*)?", r"mlp\.fc2"),
    "focalnet.FocalNetBlock": (r"modulation\.proj|norm1_post", r"mlp\.fc2|norm2_post"),
    "gcvit.MbConvBlock": ("conv_pw",),
    "ghostnet.GhostBottleneck": ("ghost2",),
    "ghostnet.GhostBottleneckV3": ("ghost2",),
    "hgnet.HighPerfGpuBlock": (r"aggregation\.\d\.bn",),
    "iformer.ConvBlock": (r"mixer\.module\.3\.bn",),
    "iformer.FFN": (r"mixer\.module\.2\.bn",),
    "iformer.SHMABlock": (r"?mixer\.module(\..*)?",),
    "inception_next.MetaNeXtBlock": (r"mlp\.fc2",),
    "inception_resnet_v2.Block35": ("conv2d",),
    "inception_resnet_v2.Block17": ("conv2d",),
    "inception_resnet_v2.Block8": ("conv2d",),
    "lcnetv2.RepDepthwiseSeparable": (r"pw_conv\.bn",),
    "levit.LevitBlock": (r"?attn\.proj\.ln\.bn", r"?mlp\.ln2\.bn"),
    "levit.LevitDownsample": (r"?mlp\.ln2\.bn",),
    "lowformer.ResidualBlock": (r"main\..*",),
    "mambaout.GatedConvBlock": ("fc2",),
    "maxxvit.MbConvBlock": ("conv3_1x1",),
    "maxxvit.ConvNeXtBlock": (r"mlp\.fc2",),
    "maxxvit.TransformerBlock2d": (r"?attn\.proj", r"?mlp\.fc2"),
    "maxxvit.PartitionAttention2d": ("?(ls|drop_path)1", r"?mlp\.fc2"),
    "metaformer.MetaFormerBlock": (r"?token_mixer\.pwconv2", r"?mlp\.fc2"),
    "mobilevit.LinearTransformerBlock": (r"?attn\.out_proj", r"?mlp\.fc2"),
    "nextvit.NextConvBlock": (r"mhca\.projection", r"mlp\.fc2"),
    "nfnet.NormFreeBlock": ("conv3",),
    "regnet.Bottleneck": (r"conv3\.bn",),
    "regnet.PreBottleneck": ("conv3",),
    "repghost.RepGhostBottleneck": (r"ghost2(\.relu)?",),
    "repvit.RepViTBlock": (r"channel_mixer\.conv2\.bn",),
    "repvit.RepVitDownsample": (r"ffn\.conv2\.bn",),
    "res2net.Bottle2neck": ("bn3",),
    "resnest.ResNestBottleneck": ("bn3",),
    "resnet.BasicBlock": ("bn2",),
    "resnet.Bottleneck": ("bn3",),
    "resnetv2.PreActBasic": ("conv2",),
    "resnetv2.PreActBottleneck": ("conv3",),
    "resnetv2.Bottleneck": ("norm3",),
    "rexnet.LinearBottleneck": (r"conv_pwl\.bn",),
    "senet.SEBottleneck": ("bn3",),
    "senet.SEResNetBottleneck": ("bn3",),
    "senet.SEResNeXtBottleneck": ("bn3",),
    "senet.SEResNetBlock": ("bn2",),
    "shvit.FFN": (r"pw2\.bn",),
    "shvit.SHSA": (r"proj\.1\.bn",),
    "sknet.SelectiveKernelBasic": (r"conv2\.bn",),
    "sknet.SelectiveKernelBottleneck": (r"conv3\.bn",),
    "starnet.Block": (r"dwconv2\.(conv|bn)",),
    "swiftformer.ConvEncoder": ("pwconv2",),
    "swiftformer.LocalRepresentation": ("pwconv2",),
    "swiftformer.Block": ("?attn", r"linear\.fc2"),
    "tiny_vit.MBConv": (r"conv3\.bn",),
    "tresnet.BasicBlock": (r"conv2\.bn",),
    "tresnet.Bottleneck": (r"conv3\.bn",),
    "visformer.Block": (r"?attn\.proj", r"mlp\.conv3"),
    "vitamin.MbConvLNBlock": ("conv3_1x1",),
    "vovnet.OsaBlock": (r"conv_concat\.bn",),
    "xception.Block": (r"rep\.\d+",),
    "xception_aligned.XceptionModule": (r"stack\.conv3\.bn_pw",),
    "xception_aligned.PreXceptionModule": (r"stack\.conv3\..*",),
}
TORCHVISION_BLOCKS: dict[str, Ends] = {
    "convnext.CNBlock": (r"block\.5",),
    "efficientnet.MBConv": (r"block\.\d\.1",),
    "efficientnet.FusedMBConv": (r"block\.\d\.1",),
    "maxvit.MBConv": (r"layers\.conv_c",),
    "mnasnet._InvertedResidual": (r"layers\.7",),
    "mobilenetv2.InvertedResidual": (r"conv\.\d",),
    "mobilenetv3.InvertedResidual": (r"block\.\d\.1",),
    "regnet.ResBottleneckBlock": (r"f\.c\.1",),
    "resnet.BasicBlock": ("bn2",),
    "resnet.Bottleneck": ("bn3",),
}
HAS_SHORTCUT: dict[str, str] = {
    "byobnet": "shortcut",
    "cpubone": "shortcut",
    "lowformer": "shortcut",
    "efficientvit_mit": "shortcut",
    "cspnext": "add_identity",
    "dla.DlaRoot": "shortcut",
    "efficientformer_v2.Downsample": "attn",
    "_efficientnet_blocks": "has_skip",
    "hgnet": "residual",
    "lcnetv2": "use_shortcut",
    "regnet.Bottleneck": "downsample",
    "regnet.PreBottleneck": "downsample",
    "rexnet": "use_shortcut",
    "vovnet": "residual",
    "xception_aligned": "!no_skip",
    "mnasnet": "apply_residual",
    "mobilenetv2": "use_res_connect",
    "mobilenetv3": "use_res_connect",
    "efficientnet": "use_res_connect",
}
"""The attribute that says whether a block, or each of a file's, has a shortcut, or by ! that it has none."""


class Judged(NamedTuple):
    """A network and what the judge says.

    Attributes:
        name: of the backbone.
        family: the library's file that it is written in.
        verdict: of `VERDICTS`.
        why: what deviates, or the line of a refusal.
        seconds: that finding the places took.
    """

    name: str
    family: str
    verdict: str
    why: str
    seconds: float


def names() -> Iterator[tuple[str, str]]:
    """Every network of the libraries, with its family."""
    for name in torchvision.models.list_models(module=torchvision.models):
        yield f"{TORCHVISION}{name}", f"{TORCHVISION}{_file(torchvision.models.get_model_builder(name))}"
    for name in timm.list_models():
        yield f"{TIMM}{name}", f"{TIMM}{_file(timm.model_entrypoint(name))}"


def _file(made: object) -> str:
    return str(getattr(made, "__module__", "")).rpartition(".")[2]


def plain(name: str) -> nn.Module:
    """The library's network."""
    return on_meta((torchvision_network if name.startswith(TORCHVISION) else timm_network)(name), 3, 10)


def expected(name: str, network: nn.Module) -> Iterator[tuple[str, bool]]:
    """Patterns for the places in a network, and whether a gate must be there."""
    library, known = ("torchvision", TORCHVISION_BLOCKS) if name.startswith(TORCHVISION) else ("timm", TIMM_BLOCKS)
    for path, block in network.named_modules():
        file, kind = _file(type(block)), f"{_file(type(block))}.{type(block).__name__}"
        if not type(block).__module__.startswith(library) or kind not in known:
            continue
        attribute = HAS_SHORTCUT.get(kind, HAS_SHORTCUT.get(file))
        if attribute is None or _says(block, attribute):
            for end in known[kind]:
                yield rf"{re.escape(path)}\.({end.removeprefix('?')})", not end.startswith("?")


def _says(block: nn.Module, attribute: str) -> bool:
    said = getattr(block, attribute.removeprefix("!")) not in (None, False)
    return said is not attribute.startswith("!")


def judge(name: str, family: str, network: nn.Module) -> Judged:
    """What is found in a network beside what its block classes say."""
    begun = time.perf_counter()
    found: Backbone | None = None
    try:
        found = backbone(name)
    except UserError as error:
        line = str(error)
    seconds = time.perf_counter() - begun
    ends = list(expected(name, network))
    if found is None:
        return Judged(name, family, "refused" if any(must for _, must in ends) else "none", line, seconds)
    why = _differences([site.path for site in found.sites], ends)
    return Judged(name, family, "deviating" if why else "exact", "; ".join(why), seconds)


def _differences(paths: Sequence[str], ends: Sequence[tuple[str, bool]]) -> list[str]:
    matches = {end: [path for path in paths if re.fullmatch(end, path)] for end, _ in ends}
    rest = set(paths) - {path for there in matches.values() for path in there}
    lacking = [end for end, must in ends if must and not matches[end]]
    several = [path for there in matches.values() if len(there) > 1 for path in there]
    told = [("no gate at", lacking), ("where none belongs:", sorted(rest)), ("several in a branch:", several)]
    return [f"{what} {', '.join(some[:2])} ({len(some)})" for what, some in told if some]


def sweep(wanted: Sequence[str], smallest: bool) -> Iterator[Judged]:
    """Judge the networks whose names begin so, or the smallest of each family."""
    by_family: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name, family in names():
        if not wanted or any(name.startswith(some) or family == some for some in wanted):
            size = sum(parameter.numel() for parameter in plain(name).parameters())
            if size < MOST_PARAMS:
                by_family[family].append((size, name))
    for family, members in sorted(by_family.items()):
        for _, name in sorted(members)[: 1 if smallest else None]:
            yield judge(name, family, plain(name))


def show(judged: Sequence[Judged]) -> None:
    """Print the table of families, the sums, and what is not exact."""
    print(f"{'family':34}{'models':>8}" + "".join(f"{verdict:>11}" for verdict in VERDICTS))
    for family in [*sorted({it.family for it in judged}), ""]:
        there = [it for it in judged if family in ("", it.family)]
        counts = Counter(it.verdict for it in there)
        print(f"{family or 'all':34}{len(there):8}" + "".join(f"{counts[verdict] or '.':>11}" for verdict in VERDICTS))
    residual = [it for it in judged if it.verdict != "none"]
    exact = sum(it.verdict == "exact" for it in residual)
    print(f"exact among those with residual branches: {exact} of {len(residual)}", end="")
    print(f" ({100 * exact / max(1, len(residual)):.1f} %); {sum(it.seconds for it in judged):.0f} s")
    for it in [it for it in judged if it.verdict in ("refused", "deviating")][:WORST]:
        print(f"{it.verdict:10} {it.name}: {it.why}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="beginnings of names, or families such as timm/resnet")
    parser.add_argument("--smallest", action="store_true", help="one network of each family")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    show(list(sweep(arguments.names, arguments.smallest)))
