"""What is written of designs that were trained beside plain under the same seeds."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.results.plots import write_comparison
from search.objectives import Objectives
from space.files import write_whole

RESULTS, PICTURE = "results.json", "comparison.png"


def write_paired(results: Sequence[Mapping[str, Any]], objectives: Objectives, title: str, folder: Path) -> None:
    """Write results as JSON and, once one of them is paired, their differences to plain as a picture.

    Args:
        results: as `summarise` gives them.
        objectives: what was compared, and the costs to tell.
        title: above the picture.
        folder: to write to.
    """
    write_whole(folder / RESULTS, json.dumps(results, indent=2))
    if paired := [result for result in results if result["paired_difference"] is not None]:
        write_comparison(paired, objectives, title, folder / PICTURE)
