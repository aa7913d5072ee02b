"""What an analysis looks at."""

import torch

from pipelines.papers.analyses import BATCH, _batch
from trainers.data import Data
from trainers.images import TensorImages


def test_an_analysis_sees_all_classes_though_images_come_class_by_class() -> None:
    labels = torch.arange(4).repeat_interleave(2 * BATCH)
    images = TensorImages(torch.full((len(labels), 1, 2, 2), 255, dtype=torch.uint8), labels)
    data = Data(
        name="x",
        classes=tuple("abcd"),
        shape=(1, 2, 2),
        mean=(0.5,),
        std=(0.25,),
        train=images,
        val=images,
        test=images,
    )
    pixels, seen = _batch(data, images, "cpu")

    assert pixels.shape == (BATCH, 1, 2, 2)
    torch.testing.assert_close(pixels, torch.full_like(pixels, (1 - 0.5) / 0.25))
    assert int(torch.bincount(seen, minlength=4).min()) > BATCH // 8
    assert torch.equal(_batch(data, images, "cpu")[1], seen)
