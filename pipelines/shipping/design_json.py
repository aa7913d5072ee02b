"""The design.json beside weights: everything that it takes to use them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from space import Design
from space.files import write_whole
from space.identity import Identity
from space.saved import DESCRIPTION
from trainers.data import Data
from trainers.datasets import IMAGENET_SHORTER_SIDE, IMAGENET_SIDE
from trainers.evaluator import design_folder
from trainers.recipe import Recipe
from trainers.source import Source


def write_design(
    result: Mapping[str, Any], weights: Path, data: Data, source: Source, recipe: Recipe, study: str
) -> None:
    """Write beside a design's weights everything that it takes to use them, if this study trained any.

    Args:
        result: what came out, with its `backbone` and `design`.
        weights: folder that the evaluator wrote into.
        data: that it was trained on.
        source: of the data.
        recipe: that it was trained by.
        study: its uid.
    """
    design = Design.parse(result["design"])
    folder = weights / design_folder(result["backbone"], design)
    if study not in [whose.study for path in folder.glob("*.safetensors") if (whose := Identity.read(path))]:
        return
    shorter_side = source.shorter_side
    if shorter_side is None and source.name == "imagenet":
        shorter_side = round(data.shape[1] * IMAGENET_SHORTER_SIDE / IMAGENET_SIDE)
    described = {
        **result,
        "study": study,
        "fields": design.to_dict(),
        "dataset": data.name,
        "source": source.to_json(),
        "classes": data.classes,
        "shape": data.shape,
        "shorter_side": shorter_side,
        "depth": data.depth,
        "mean": data.mean,
        "std": data.std,
        "recipe": recipe.to_dict(),
    }
    write_whole(folder / DESCRIPTION, json.dumps(described, indent=2))
