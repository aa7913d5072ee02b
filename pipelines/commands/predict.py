"""`search predict`: what a trained network takes images for; a check of all that was exported, too."""

from collections.abc import Sequence
from typing import Any

import torch
from rich.table import Table
from rich.text import Text
from torch import Tensor

from pipelines.settings.options.predict import PredictOptions
from pipelines.shipping.find import find
from pipelines.shipping.images import image_batches
from pipelines.shipping.programs import ProgramError, difference_of, programs
from pipelines.terminal import exit_codes
from pipelines.terminal.console import print_json, say, stderr, stdout
from pipelines.terminal.formats import show_percent
from search.storage import Storage
from space import UserError


def predict(options: PredictOptions) -> int:
    """Print the classes of image files, the most probable first; returns the exit code.

    Raises:
        UserError: a mistake in the options, or a file that is no image.
    """
    saved = find(options.run, options.design, Storage(options.storage))
    paths = [path.expanduser() for path in options.images]
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
            for batch in image_batches(paths, saved):
                normalised = saved.normalise(batch)
                with torch.inference_mode():
                    logits = network(normalised)
                found.append(logits.softmax(1))
                for name, program in others.items():
                    apart[name] = max(apart.get(name, 0.0), difference_of(name, program, normalised, logits))
    except ProgramError as error:
        say(f"search: {error}; export it again")
        return exit_codes.FAILED
    predictions = [_best(probabilities, saved.classes, options.top) for probabilities in torch.cat(found)]
    if options.json:
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
    return exit_codes.COMPLETE


def _best(probabilities: Tensor, classes: Sequence[str], top: int) -> list[dict[str, Any]]:
    """The most probable classes of an image (K,)."""
    best = probabilities.topk(min(top, len(classes)))
    return [
        {"class": classes[label], "probability": probability}
        for probability, label in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]
