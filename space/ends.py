"""The ends of residual branches in a folded network: a convolution, its gate, and the addition to the shortcut.

Additions overwrite the shortcut: for large maps, new memory takes longer than the arithmetic.
"""

import torch
from torch import Tensor, nn

from space.attention.inference import Multiplier
from space.gating import End


class FoldedEnd(End):
    """A branch's last module with a gate that sees what it returns, or without one.

    Args:
        end: the last module.
        gate: of its output.
    """

    def __init__(self, end: nn.Module, gate: Multiplier | None) -> None:
        super().__init__()
        self.end = end
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        return self.end(x) if self.gate is None else torch.mul(*self._factors(self.gate, x))

    def add_to(self, shortcut: Tensor, x: Tensor) -> Tensor:
        """Shortcut + gated branch, in the memory of the shortcut."""
        return shortcut.add_(self.end(x)) if self.gate is None else shortcut.addcmul_(*self._factors(self.gate, x))

    def _factors(self, gate: Multiplier, x: Tensor) -> tuple[Tensor, Tensor]:
        features: Tensor = self.end(x)
        is_own = isinstance(self.end, nn.Conv2d | nn.BatchNorm2d)  # and not what others may see, too
        return gate.factors(features.clone() if gate.overwrites and not is_own else features)


class PointwiseEnd(End):
    """A 1x1 convolution with a gate that sees what stands before it, or without one.

    The gate multiplies the weights of each image rather than the features, W z + b times g is (g W) z + g b; so the
    features are only ever written once, onto the shortcut.

    Args:
        conv: (B, D, H, W) -> (B, C, H, W).
        gate: from what the convolution sees.
    """

    def __init__(self, conv: nn.Conv2d, gate: Multiplier | None) -> None:
        super().__init__()
        self.conv = conv
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        if self.gate is not None and self._weighs(x):
            weight, bias = self._gated(self.gate(x))
            pixels = _pixels(x)
            return _map(pixels @ weight if bias is None else torch.baddbmm(bias, pixels, weight), x)
        features: Tensor = self.conv(x)
        return features if self.gate is None else features.mul_(self.gate(x))

    def add_to(self, shortcut: Tensor, x: Tensor) -> Tensor:
        """Shortcut + gated branch, in the memory of the shortcut."""
        if self.gate is not None and not self._weighs(x):
            return shortcut.addcmul_(self.conv(x), self.gate(x))
        if self.gate is None:
            weight, bias = self.conv.weight.flatten(1).T, self.conv.bias
            into = _pixels(shortcut, 0).addmm_(_pixels(x, 0).to(shortcut.dtype), weight.to(shortcut.dtype))
        else:  # autocast leaves what works in place alone, so that the dtypes are seen to here
            weight, bias = self._gated(self.gate(x))
            into = _pixels(shortcut).baddbmm_(_pixels(x).to(shortcut.dtype), weight.to(shortcut.dtype))
        return _map(into if bias is None else into.add_(bias), x)

    def _weighs(self, x: Tensor) -> bool:
        """Whether an image has more pixels than x has channels: then it has more features than there are weights."""
        return x.shape[2] * x.shape[3] > x.shape[1]

    def _gated(self, gate: Tensor) -> tuple[Tensor, Tensor | None]:
        """Weight (B, D, C) and bias (B, 1, C) of each image."""
        gate = gate.flatten(1)
        bias = None if self.conv.bias is None else (self.conv.bias * gate)[:, None]
        return (self.conv.weight.flatten(1) * gate[:, :, None]).mT, bias


def _pixels(features: Tensor, first: int = 1) -> Tensor:
    """(B, C, H, W) -> (B, H W, C), or (B H W, C) from `first` 0: a view where the features are channels_last."""
    return features.permute(0, 2, 3, 1).flatten(first, 2)


def _map(pixels: Tensor, like: Tensor) -> Tensor:
    """Back to (B, C, H, W), where these are of another map."""
    batch, _, height, width = like.shape
    return pixels.view(batch, height, width, -1).permute(0, 3, 1, 2)
