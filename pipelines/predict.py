"""`search predict`: what a trained network takes images for; a check of all that was exported, too."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from rich.text import Text
from torch import Tensor
from torchvision.transforms.v2 import functional

from pipelines import session
from pipelines.console import print_json, say, stderr, stdout
from pipelines.export import ProgramError, compare, programs
from pipelines.quantities import show_percent
from pipelines.shipped import find
from search.storage import Storage
from space import UserError
from space.loading import Saved
from trainers.data import FileImages, Images, Squares
from trainers.pictures import depth_of, opened

BATCH = 64


def predict(run: str, images: Sequence[Path], top: int, design: str | None, storage: str, as_json: bool) -> int:
    """Print the classes of image files, the most probable first; returns the exit code.

    Args:
        run: as `shipped.find` takes it.
        images: files.
        top: classes to print for each.
        design: which one of a retraining; None for the first asked for.
        storage: of the studies.
        as_json: print the result for programs.

    Raises:
        UserError: a mistake in the options, or a file that is no image.
    """
    saved = find(run, design, Storage(storage))
    paths = [path.expanduser() for path in images]
    for path in paths:
        if path.is_dir():
            raise UserError(f"{path} is a folder; name the files in it, such as {path}/*.png")
        if not path.is_file():
            raise UserError(f"no file {path}")
    network = saved.network()
    found: list[Tensor] = []
    apart: dict[str, float] = {}
    try:
        others = programs(saved.folder)
        with stderr.status("predicting"):
            for batch in read(paths, saved):
                normalised = saved.normalise(batch)
                with torch.inference_mode():
                    logits = network(normalised)
                found.append(logits.softmax(1))
                for name, program in others.items():
                    apart[name] = max(apart.get(name, 0.0), compare(name, program, normalised, logits))
    except ProgramError as error:
        say(f"search: {error}; export it again")
        return session.FAILED
    predictions = [_best(probabilities, saved.classes, top) for probabilities in torch.cat(found)]
    if as_json:
        print_json([{"image": str(p), "predictions": best} for p, best in zip(paths, predictions, strict=True)])
    else:
        table = Table(box=None, show_header=False)
        for path, best in zip(paths, predictions, strict=True):
            cells = [str(path), *(cell for each in best for cell in (each["class"], show_percent(each["probability"])))]
            table.add_row(*map(Text, cells))  # names may look like rich's markup
        stdout.print(table)
    if apart:
        agree = "agree" if len(apart) > 1 else "agrees"
        say(f"{' and '.join(apart)} {agree}: logits within {max(apart.values()):.1e} of the network's")
    return session.COMPLETE


def read(paths: Sequence[Path], saved: Saved) -> Iterator[Tensor]:
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


def _best(probabilities: Tensor, classes: Sequence[str], top: int) -> list[dict[str, Any]]:
    """The most probable classes of an image (K,)."""
    best = probabilities.topk(min(top, len(classes)))
    return [
        {"class": classes[label], "probability": probability}
        for probability, label in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]
