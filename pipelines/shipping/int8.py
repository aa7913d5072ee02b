"""An ONNX program in whole numbers of 8 bits: smaller and faster, and no longer equal."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from pipelines.shipping.programs import INPUT
from space.saved import Saved
from trainers.images import Images

INT8 = "model.int8.onnx"
MOST_IMAGES = 512
"""That are looked at, for the range of each feature map."""
BATCH = 32


def calibration_batches(images: Images, saved: Saved) -> Iterator[Tensor]:
    """Some of these images, evenly over all, as the network sees them: (B, C, H, W)."""
    step = -(-len(images.labels) // MOST_IMAGES)
    for batch, _ in images.batches(torch.arange(0, len(images.labels), step), BATCH):
        yield saved.normalise(batch)


def write_int8(onnx: Path, path: Path, batches: Iterable[Tensor]) -> None:
    """Quantise a program statically, by onnxruntime: weights by output channel, feature maps by their range.

    Args:
        onnx: the program.
        path: file to write.
        batches: of images as it takes them, to find the ranges by.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is untyped
        def __init__(self) -> None:
            self._batches = iter(batches)

        def get_next(self) -> dict[str, object] | None:
            batch = next(self._batches, None)
            return None if batch is None else {INPUT: batch.numpy()}

    with TemporaryDirectory() as folder:
        prepared = Path(folder) / onnx.name
        quant_pre_process(onnx, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared, path, Reader(), per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8
        )
