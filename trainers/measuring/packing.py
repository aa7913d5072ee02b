"""Parts of networks as programs in a folder, to be timed on a device that has torch or onnxruntime, and no more."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import trainers
from trainers.measuring.blocks import CutBlock
from trainers.measuring.meter import Meter
from trainers.measuring.onnx_programs import onnx_of, silenced
from trainers.measuring.runs import in_form
from trainers.measuring.timing import Figure

SCRIPT = "measure.py"
PROGRAMS = "programs"
TRAVELS = ("__init__.py", "allocator.py", "measuring/__init__.py", "measuring/timing.py")
"""Of this package, what the script needs."""


@dataclass(frozen=True)
class Packer(Meter[str]):
    """Reads nothing: writes what is to be read elsewhere, and notes how.

    Attributes:
        folder: to write to.
        readings: what is to be read, in order.
    """

    folder: Path
    readings: list[dict[str, Any]] = field(default_factory=list)
    _sizes: dict[str, list[list[int]]] = field(default_factory=dict)

    def call(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> str:
        """The name of its program."""
        programs = self.folder / PROGRAMS
        programs.mkdir(parents=True, exist_ok=True)
        on_onnx = self.deployment.form == "onnxruntime"
        name = f"{PROGRAMS}/{sum(1 for _ in programs.iterdir())}{'.onnx' if on_onnx else '.pt2'}"
        if on_onnx:
            (self.folder / name).write_bytes(onnx_of(module.eval(), inputs))
        else:
            made, given = in_form(module, inputs, self.deployment)
            with silenced(), torch.inference_mode():
                torch.export.save(torch.export.export(made, given), self.folder / name)
        self._sizes[name] = [list(it.shape) for it in inputs]
        return name

    def whole(self, calls: Mapping[str, str]) -> Mapping[str, Figure]:
        """Notes them."""
        return self._note(None, calls)

    def beside(self, plain: str, calls: Mapping[str, str], block: CutBlock) -> Mapping[str, Figure]:
        """Notes them."""
        return self._note(plain, calls)

    def _note(self, plain: str | None, calls: Mapping[str, str]) -> Mapping[str, Figure]:
        sizes = self._sizes[next(iter(calls.values()))]
        self.readings.append({"plain": plain, "programs": dict(calls), "inputs": sizes})
        return dict.fromkeys(calls, Figure(0.0))


def write_script(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Complete a folder of programs with what reads them.

    Args:
        folder: to write to.
        manifest: what is in it, for `on_device.figures_of`.
    """
    ours = Path(trainers.__file__).parent
    for name in TRAVELS:
        (folder / "trainers" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ours / name, folder / "trainers" / name)
    shutil.copyfile(ours / "measuring" / "on_device.py", folder / SCRIPT)
    (folder / "manifest.json").write_text(json.dumps(manifest))
