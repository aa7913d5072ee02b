"""How large gradients are behind each stage of a network.

Huang et al.: DIANet, https://arxiv.org/abs/1905.10671, Figure 6.
"""

from functools import partial

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from space.backbones import Backbone


def stage_gradients(network: nn.Module, backbone: Backbone, images: Tensor, labels: Tensor) -> list[Tensor]:
    """|dLoss / dOutput| of every element of each stage's output, flat, for one batch in train mode.

    The network's own gradients and BN statistics change.

    Args:
        network: built on the backbone.
        backbone: of the network.
        images: (B, C, H, W), normalised, on the network's device.
        labels: (B,).
    """
    last = {site.stage: site.path.rpartition(".")[0] for site in backbone.sites}
    outputs: dict[int, Tensor] = {}

    def keep(module: nn.Module, inputs: object, output: Tensor, stage: int) -> None:
        output.retain_grad()
        outputs[stage] = output

    hooks = [network.get_submodule(path).register_forward_hook(partial(keep, stage=s)) for s, path in last.items()]
    cross_entropy(network.train()(images), labels).backward()
    for hook in hooks:
        hook.remove()
    found = []
    for stage in sorted(outputs):
        gradient = outputs[stage].grad
        assert gradient is not None, "a stage does not lead to the loss"
        found.append(gradient.abs().flatten().cpu())
    return found
