"""Image files as a trained network was judged on them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from pipelines.terminal.console import say
from space import UserError
from space.saved import Saved
from trainers.images import FileImages, Images, Squares
from trainers.pictures import depth_of, opened

BATCH = 64


def image_batches(paths: Sequence[Path], saved: Saved) -> Iterator[Tensor]:
    """Image files in batches (B, C, H, W), uint8, exactly as the images that the network was judged on.

    Raises:
        UserError: a file that is no image, or a network for others than grey or coloured square ones.
    """
    channels, height, width = saved.shape
    if channels not in (1, 3) or height != width:
        raise UserError(
            f"the network takes images of {channels} x {height} x {width}; "
            "files can be made into square ones of 1 or 3 channels only"
        )
    shorter = saved.described.get("shorter_side") or height
    depth = saved.described.get("depth", 16)  # a description without it was written when all were taken for 16
    for path in paths:
        with opened(path) as image:
            if depth_of(path, image) > depth:
                most = 2**depth - 1
                say(f"{path} is brighter than all that was learnt from: its levels above {most:,} count as {most:,}")
    files = FileImages(tuple(paths), torch.zeros(len(paths), dtype=torch.int64), height, shorter, depth)
    images: Images = files
    if saved.described.get("dataset") != "imagenet":  # whose centre is cut out at once, and not of a larger square
        images = Squares(replace(files, side=shorter, shorter_side=None), height)
    for batch, _ in images.batches(torch.arange(len(paths)), BATCH):
        yield batch if channels == 3 else _grey(batch)


def _grey(images: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 1, H, W), by Pillow, which leaves grey ones as they are to the last bit."""
    return torch.stack([functional.pil_to_tensor(functional.to_pil_image(image).convert("L")) for image in images])
