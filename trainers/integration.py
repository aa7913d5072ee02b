"""How much each block's gate in DIA draws on the earlier ones, by the importances of a random forest.

Huang et al.: DIANet, https://arxiv.org/abs/1905.10671, Algorithm 1 and Figure 5. The algorithm as
printed contradicts the text beside it, and the text is followed here:

- line 2 runs the target from 1 to f - 1, but the first layer has no source and the text shows the last as a target;
- lines 5 and 8 give the sources (f - j) c columns, but h_1 .. h_{j-1} have (j - 1) c;
- line 12 sums over f - j + 1 importances, but there are (j - 1) c;
- line 15 closes a layer's sum after c - 1 importances, but a layer has c.
"""

import torch
from sklearn.ensemble import RandomForestRegressor
from torch import Tensor, nn

from space.attention.dia import DIAGate
from space.backbones import Backbone
from space.gating import Gated

TREES = 100


def dia_states(network: nn.Module, backbone: Backbone, images: Tensor) -> dict[int, Tensor]:
    """H of every block for these images, by stage that carries DIA: (blocks, B, C).

    Args:
        network: with DIA; set to eval mode.
        backbone: that it was built on.
        images: (B, C, H, W), normalised, on the network's device.
    """
    seen: dict[int, list[Tensor]] = {}
    hooks = []
    for site in backbone.sites:
        place = network.get_submodule(site.path)
        gates = place.gate.modules() if isinstance(place, Gated) else ()
        for gate in (it for it in gates if isinstance(it, DIAGate)):

            def remember(gate: DIAGate, inputs: object, output: Tensor, stage: int = site.stage) -> None:
                seen.setdefault(stage, []).append(output.flatten(1) / gate.scale)

            hooks.append(gate.register_forward_hook(remember))
    with torch.inference_mode():
        network.eval()(images)
    for hook in hooks:
        hook.remove()
    return {stage: torch.stack(states).cpu() for stage, states in seen.items()}


def feature_integration(states: Tensor, seed: int = 0, trees: int = TREES, threads: int = 1) -> Tensor:
    """The importance of each layer's h for each later layer's, 1 for the most important one.

    Args:
        states: h of the layers of a stage, (L, B, C).
        seed: of the forests.
        trees: of each forest.
        threads: that grow trees; -1 for one a core.

    Returns:
        (L - 1, L - 1): entry [t - 2, n - 1] says what h_n tells about h_t, t from 2 to L; nan where n >= t.
    """
    layers, batch, channels = states.shape
    heat = torch.full((layers - 1, layers - 1), float("nan"))
    for target in range(1, layers):
        sources = states[:target].permute(1, 0, 2).reshape(batch, target * channels)
        forest = RandomForestRegressor(trees, random_state=seed, n_jobs=threads)
        forest.fit(sources.double().numpy(), states[target].double().numpy())
        by_layer = torch.from_numpy(forest.feature_importances_).view(target, channels).sum(1)
        most = by_layer.max()
        heat[target - 1, :target] = by_layer / most if most > 0 else 0.0
    return heat
