"""Exported files compute what the network computes."""

import importlib.util
import json
import logging
import os
import pickle
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import space
from pipelines.commands import export
from pipelines.shipping import programs as programs_file
from pipelines.shipping.programs import (
    MOST_DIFFERENCE,
    ProgramError,
    difference_of,
    exported,
    programs,
    write_onnx,
    write_program,
)
from space import Design
from space.backbones import backbone
from space.fold import fold
from space.gating import place_gates
from space.saved import Saved
from tests.pipelines.conftest import Search
from tests.pipelines.shipping.conftest import SHAPE, as_trained, trained, write
from trainers.datasets import read_data
from trainers.evaluator import design_folder
from trainers.source import Source


def logits(network: Any, images: Tensor) -> Tensor:
    with torch.inference_mode():
        computed: Tensor = network(images)
    return computed


DESIGNS = (
    ("se", "dia:cells=2"),
    ("ras", "eca", "spa"),
    ("ras:depth=3", "cbam", "dia"),
    ("sem", "se:depth=3,connection=rational", "ras:sharing=stage"),
    ("spa:depth=2,deepening=explicit", "dia:start=unit"),
)
"""Of one network each, a stage each: a program takes seconds to make, whatever is in it."""
BACKBONES = ("resnet20", "preresnet20", "torchvision/resnet18")
SHORT = ("resnet20", DESIGNS[0])


@pytest.mark.parametrize(
    ("name", "designs"),
    [
        pytest.param(name, designs, marks=() if (name, designs) == SHORT else pytest.mark.long, id=f"{name} {designs}")
        for name in BACKBONES
        for designs in DESIGNS
    ],
)
def test_every_design_is_a_program_and_onnx_for_any_number_of_images(
    tmp_path: Path, name: str, designs: Sequence[str]
) -> None:
    channels, side = (3, 64) if "/" in name else (1, 8)
    network = backbone(name).make(channels, 3)
    for stage, text in enumerate(designs):
        sites = [site for site in backbone(name).sites if site.stage == stage]
        place_gates(network, sites, Design.parse(text))
    shape = (channels, side, side)
    write_program(exported(fold(as_trained(network)), shape), tmp_path / "model.pt2")
    if importlib.util.find_spec("onnxruntime"):
        write_onnx(exported(network, shape), tmp_path / "model.onnx")

    for program in programs(tmp_path).values():
        for size in (1, 2, 5):
            images = torch.randn(size, channels, side, side)
            difference_of("it", program, images, logits(network, images))


@pytest.mark.parametrize("error", [2 * MOST_DIFFERENCE, float("nan"), float("inf")])
def test_programs_may_differ_by_a_share_of_the_largest_logit(error: float) -> None:
    ours = torch.tensor([[-200.0, 1.0], [3.0, 4.0]])
    apart = torch.tensor([[0.0, 0.0], [0.0, 200 * 0.5 * MOST_DIFFERENCE]])
    share = difference_of("it", lambda images: ours + apart, ours, ours)
    assert share == pytest.approx(0.5 * MOST_DIFFERENCE, rel=0.01)
    apart[1, 1] = 200 * error
    with pytest.raises(ProgramError, match="differ"):
        difference_of("it", lambda images: ours + apart, ours, ours)
    with pytest.raises(ProgramError, match="differ"):
        difference_of("it", lambda images: ours[:1], ours[:1].expand(2, -1), ours[:1].expand(2, -1))


@pytest.fixture
def folder(here: Path) -> Path:
    """A retrained network, resnet11 with se."""
    write(here / "weights", "resnet11", "se")
    return here / "weights"


def test_an_export_is_all_that_it_takes(search: Search, here: Path, folder: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    ended = search("export", "weights", "--json")
    assert ended.code == 0
    assert ended.err == ""
    assert ended.json["folder"] == "export/resnet11-se"
    assert ended.json["files"] == ["design.json", "model.onnx", "model.pt2", "model.safetensors"]
    assert all(0 <= apart <= MOST_DIFFERENCE for apart in ended.json["largest_difference"].values())
    assert os.listdir(here / "export") == ["resnet11-se"]

    into = here / "export" / "resnet11-se"
    described = json.loads((into / "design.json").read_text())
    checked = described.pop("checked")
    assert described == json.loads((folder / "design.json").read_text())
    assert checked["largest_difference"] == ended.json["largest_difference"]
    (given,) = onnxruntime.InferenceSession(into / "model.onnx").get_inputs()
    assert (given.name, given.shape) == ("images", ["batch", 1, 8, 8])
    assert checked["input"] == {"name": given.name, "shape": given.shape, "is": "(pixels / 255 - mean) / std"}
    images = torch.randn(4, *SHAPE)
    ours = logits(space.load(folder), images)
    torch.testing.assert_close(logits(space.load(into), images), ours, rtol=0, atol=0)
    for program in programs(into).values():
        difference_of("it", program, images, ours)


@pytest.mark.parametrize("folded", [True, False])
def test_the_program_is_of_the_folded_network_unless_told_otherwise(
    search: Search, here: Path, folder: Path, folded: bool
) -> None:
    ended = search("export", "weights", "--into", "it", "--no-onnx", "--json", *(() if folded else ("--no-folded",)))
    program = torch.export.load(here / "it" / "model.pt2")
    assert ("batch_norm" in str(program.graph)) is not folded
    assert ended.json["folded"] is folded
    assert json.loads((here / "it" / "design.json").read_text())["checked"]["folded"] is folded
    assert all(speed > 0 for speed in ended.json["images_per_second"].values())
    assert load_file(here / "it" / "model.safetensors").keys() == load_file(folder / "model.safetensors").keys()


def test_an_8_bit_program_is_calibrated_and_judged_by_the_validation_images(search: Search, here: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    source = Source(name="digits", train_size=50)
    network = write(here / "weights", "resnet11", "se", source=source.to_json())
    ended = search("export", "weights", "--into", "it", "--int8", "--json")
    assert ended.code == 0
    assert "model.int8.onnx" in ended.json["files"]
    assert (here / "it" / "model.int8.onnx").stat().st_size < 0.6 * (here / "it" / "model.onnx").stat().st_size

    val = read_data(source).val
    images, labels = next(iter(val.batches(torch.arange(len(val.labels)), len(val.labels))))
    normalised = Saved.read(here / "it").normalise(images)
    session = onnxruntime.InferenceSession(here / "it" / "model.int8.onnx")
    ours, theirs = logits(network, normalised), torch.from_numpy(session.run(None, {"images": normalised.numpy()})[0])
    assert 0 < (ours - theirs).abs().max() < 0.25 * ours.abs().max()
    right = (ours.argmax(1) == labels).float().mean()
    assert ended.json["val_accuracy"]["network"] == pytest.approx(float(right))
    assert ended.json["val_accuracy"].keys() == {"network", "model.pt2", "model.onnx", "model.int8.onnx"}

    shown = search("export", "it", "--into", "it", "--int8")  # over itself, with what it says of its images
    assert "validation accuracy" in shown.out
    assert "model.int8.onnx" in shown.out


def test_8_bits_need_the_images_and_onnx(search: Search, here: Path, folder: Path) -> None:
    ended = search("export", "weights", "--int8")
    assert ended.code == 2
    assert "does not say where its images are" in ended.err
    ended = search("export", "weights", "--int8", "--no-onnx")
    assert ended.code == 2
    assert "leave out --no-onnx" in ended.err
    assert not (here / "export").exists()


def test_an_earlier_export_is_replaced_and_an_export_is_exported_again(
    search: Search, here: Path, folder: Path
) -> None:
    assert search("export", "weights", "--into", "it", "--no-onnx").code == 0
    write(here / "other", "resnet11", "ras")
    assert search("export", "other", "--into", "it", "--no-onnx").code == 0
    assert search("export", "it", "--into", "it", "--no-onnx").code == 0
    assert json.loads((here / "it" / "design.json").read_text())["design"] == "ras"
    assert sorted(os.listdir(here / "it")) == ["design.json", "model.pt2", "model.safetensors"]
    assert load_file(here / "it" / "model.safetensors").keys() == load_file(here / "other" / "model.safetensors").keys()


def test_nothing_but_an_export_is_replaced(search: Search, here: Path, folder: Path) -> None:
    (here / "mine").mkdir()
    (here / "mine" / "notes.txt").write_text("mine")
    search("export", "weights", "--into", "exported", "--no-onnx")
    (here / "exported" / "notes.txt").write_text("mine")
    for into in ("weights", "mine", "exported"):
        before = {path: path.read_bytes() for path in (here / into).iterdir()}
        ended = search("export", "weights", "--into", into, "--no-onnx")
        assert ended.code == 2
        assert f"{into} is not empty" in ended.err
        assert {path: path.read_bytes() for path in (here / into).iterdir()} == before
    for into in ("tiny.toml", "tiny.toml/it", ".", "/"):
        ended = search("export", "weights", "--into", into, "--no-onnx")
        assert ended.code == 2
        assert "--into" in ended.err


def test_a_program_that_computes_something_else_is_not_kept(
    search: Search, here: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search("export", "weights", "--into", "before", "--no-onnx")
    before = {path.name: path.read_bytes() for path in (here / "before").iterdir()}
    other = trained("resnet11", Design("ras"))
    monkeypatch.setattr(programs_file, "exported", lambda network, shape: exported(other, shape))
    for into in ("before", "new"):
        ended = search("export", "weights", "--into", into, "--no-onnx")
        assert ended.code == 1
        assert "model.pt2 and the network differ" in ended.err
        assert "nothing was written" in ended.err
    assert {path.name: path.read_bytes() for path in (here / "before").iterdir()} == before
    assert not (here / "new").exists()
    assert not [path for path in here.iterdir() if path.name.startswith(".")]


def test_a_network_that_torch_cannot_export_is_one_line(search: Search, here: Path) -> None:
    (here / "own.py").write_text(
        "from torchvision.models import resnet18, ResNet\n"
        "class Odd(ResNet):\n"
        "    def forward(self, x):\n"
        "        return super().forward(x) * (2.0 if float(x.sum()) > 0 else 1.0)\n"
        "def make(num_classes=10):\n"
        "    from torchvision.models.resnet import BasicBlock\n"
        "    return Odd(BasicBlock, [1, 1, 1, 1], num_classes=num_classes)\n"
    )
    write(here / "weights", f"{here / 'own.py'}:make", "se")
    ended = search("export", "weights", "--no-onnx")
    assert ended.code == 1
    assert len(ended.err.strip().splitlines()) == 1
    assert "torch.export does not take this network" in ended.err
    assert not list((here / "export").iterdir())


def test_what_libraries_print_warn_and_log_meanwhile_is_not_shown(search: Search, here: Path) -> None:
    (here / "loud.py").write_text(
        "import logging, sys, warnings\n"
        "import torch\n"
        "from torchvision.models import resnet18, ResNet\n"
        "class Loud(ResNet):\n"
        "    def forward(self, x):\n"
        "        if torch.compiler.is_exporting():\n"
        "            print('LOUD')\n"
        "            print('LOUD', file=sys.stderr)\n"
        "            warnings.warn('LOUD')\n"
        "            logging.getLogger('loud').error('LOUD')\n"
        "        return super().forward(x)\n"
        "def make(num_classes=10):\n"
        "    from torchvision.models.resnet import BasicBlock\n"
        "    return Loud(BasicBlock, [1, 1, 1, 1], num_classes=num_classes)\n"
    )
    write(here / "weights", f"{here / 'loud.py'}:make", "se")
    shown = logging.StreamHandler(sys.stderr)
    logging.getLogger("loud").addHandler(shown)
    try:
        ended = search("export", "weights", "--no-onnx")
    finally:
        logging.getLogger("loud").removeHandler(shown)
    assert ended.code == 0
    assert ended.err == ""
    assert "LOUD" not in ended.out
    assert os.listdir(here / "export") == [design_folder(f"{here}/loud.py:make", Design("se"))]


def test_without_its_packages_onnx_is_left_out_and_said_so(
    search: Search, here: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == "onnxscript" else object())
    ended = search("export", "weights")
    assert ended.code == 0
    assert "model.onnx was left out" in ended.err
    assert "onnxscript" in ended.err
    assert "pip install 'attention-search[export]'" in ended.err
    assert not (here / "export" / "resnet11-se" / "model.onnx").exists()

    ended = search("export", "weights", "--onnx", "--into", "asked")
    assert ended.code == 2
    assert "--onnx needs onnxscript: pip install 'attention-search[export]'" in ended.err
    assert not (here / "asked").exists()


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("where", ["sample_inputs/model.pt", "constants/opaque_obj_0", "constants/model.pt"])
def test_nothing_in_a_program_is_unpickled(search: Search, here: Path, folder: Path, where: str) -> None:
    search("export", "weights", "--into", "it", "--no-onnx")
    program, evil = here / "it" / "model.pt2", pickle.dumps(Evil(str(here / "unpickled")))
    with zipfile.ZipFile(program) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    root = next(iter(content)).partition("/")[0]
    content[f"{root}/data/{where}"] = evil
    constant = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    if "constants" in where:
        content[f"{root}/data/constants/model_constants_config.json"] = json.dumps({"config": {"a": constant}}).encode()
    with zipfile.ZipFile(program, "w", zipfile.ZIP_STORED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)

    with pytest.raises(ProgramError):
        programs(here / "it")
    assert not (here / "unpickled").exists()
