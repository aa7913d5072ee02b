"""Times what `search calibrate --pack` wrote, on the device that will run the network: writes a device file.

python measure.py                      # in that folder, with torch or onnxruntime, and nothing else of this project
search launch --device-file device.json        # where the search runs
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trainers.allocator import keep_freed_memory
from trainers.measuring.timing import THREADS, Call, Figure, added_seconds, device_name, in_turns, on_copies


def call_of(path: Path, sizes: Sequence[Sequence[int]], how: dict[str, str]) -> Call:
    """A call of a program on inputs of these sizes."""
    if how["form"] == "onnxruntime":
        return _opened_onnx(path, sizes)
    import torch

    exported = torch.export.load(path)
    if how["device"] != "cpu":
        from torch.export.passes import move_to_device_pass

        exported = move_to_device_pass(exported, how["device"])
    program: Callable[..., object] = exported.module()
    if how["form"] == "compiled":
        program = torch.compile(program, dynamic=False)
    dtype = getattr(torch, how["dtype"])
    return on_copies(program, [torch.rand(tuple(size), device=how["device"]).to(dtype) for size in sizes])


def _opened_onnx(path: Path, sizes: Sequence[Sequence[int]]) -> Call:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [it.name for it in session.get_inputs()]
    random = np.random.default_rng(0)
    given = {name: random.random(size, np.float32) for name, size in zip(names, sizes, strict=True)}
    return lambda: session.run(None, given)


def figures_of(folder: Path, device: str, tell: Callable[[str], None] = print) -> dict[str, Any]:
    """The figures of all programs of a folder, as a device file has them.

    Args:
        folder: that was packed.
        device: cpu or cuda.
        tell: how far it is.
    """
    keep_freed_memory()
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    how, found = {**manifest["how"], "device": device}, {}
    total = sum(len(of["readings"]) for of in manifest["costs"].values())
    done = 0
    for name, of in manifest["costs"].items():
        plain: dict[str, Figure] = {}
        gates: dict[str, Figure] = {}
        for reading in of["readings"]:
            sizes = reading["inputs"]
            calls = {key: call_of(folder / file, sizes, how) for key, file in reading["programs"].items()}
            if reading["plain"] is None:
                plain |= {key: Figure.of(samples) for key, samples in in_turns(calls, device).items()}
            else:
                without = call_of(folder / reading["plain"], sizes, how)
                gates |= added_seconds(without, calls, device)
            done += 1
            tell(f"{done} of {total} places")
        conditions = {**how, "device": device_name(device), "batch": of["batch"], "threads": THREADS}
        found[name] = {"conditions": conditions, "plain": plain, "gates": gates}
    return {**manifest["file"], "costs": found}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=Path("device.json"), help="file to write")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    said = parser.parse_args()
    table = figures_of(Path(__file__).parent, said.device)
    said.into.write_text(json.dumps(table, indent=1))
    print(f"wrote {said.into}: search launch --device-file {said.into}")
