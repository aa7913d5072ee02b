"""The options of `search calibrate`; the docstring of the class is its help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from pipelines.settings.options.of_a_space import OfASpace


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(OfASpace):
    """Measure a device for a space: what every gate takes in every place there.

    The file is for `search launch --device-file`. A device without this program needs torch or onnxruntime and what
    --pack writes.
    """

    costs: Annotated[str, Option(help="What to measure, by commas: fps, latency, memory.")] = "fps,latency"
    into: Annotated[Path, Option(help="File to write.")] = Path("device.json")
    pack: Annotated[
        Path | None,
        Option(help="Measure nothing here; write this folder with programs and a script that does, on the device."),
    ] = None
