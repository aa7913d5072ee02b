"""First and last layers for other images and classes than a network was made for."""

from torch import nn

from space.backbones.backbone import Make


def fitted(make: Make, stem: str, classifier: str, in_channels: int, num_classes: int) -> nn.Module:
    """The network with a first and a last layer for these images and classes, where its maker does not see to it."""
    network = make(in_channels, num_classes)
    first = network.get_submodule(stem) if stem else None
    if isinstance(first, nn.Conv2d) and first.in_channels != in_channels:
        first.in_channels = in_channels
        first.weight = nn.Parameter(first.weight.new_empty(first.out_channels, in_channels, *first.kernel_size))
        first.reset_parameters()
    last = network.get_submodule(classifier) if classifier else None
    if isinstance(last, nn.Linear | nn.Conv2d) and len(last.weight) != num_classes:
        setattr(last, "out_features" if isinstance(last, nn.Linear) else "out_channels", num_classes)
        last.weight = nn.Parameter(last.weight.new_empty(num_classes, *last.weight.shape[1:]))
        if last.bias is not None:
            last.bias = nn.Parameter(last.bias.new_empty(num_classes))
        last.reset_parameters()
    return network
