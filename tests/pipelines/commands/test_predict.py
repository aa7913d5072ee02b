"""A prediction sees an image file exactly as the network was judged on it, and all exported programs agree on it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import space
from pipelines.shipping.design_json import write_design
from pipelines.shipping.images import image_batches
from space import Design, UserError
from space.identity import Identity
from space.saved import Saved
from tests.pipelines.conftest import Search
from trainers.data import Data
from trainers.datasets import read_data
from trainers.evaluator import Evaluator
from trainers.recipe import RECIPES
from trainers.source import Source

SQUARES = {"blue": (90, 90, 160), "green": (90, 160, 90), "red": (160, 90, 90)}


def write_squares(root: Path, images: int = 20) -> None:
    """A data set of noisy squares and rectangles of three colours, hard enough that some are taken for others."""
    drawn = np.random.default_rng(0)
    for name, colour in SQUARES.items():
        (root / name).mkdir(parents=True)
        for number in range(images):
            size = (*drawn.integers(18, 29, 2), 3)
            pixels = np.array(colour) + drawn.normal(0, 50, 3) + drawn.normal(0, 60, size)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / name / f"{number}.png")


def retrained(into: Path, source: Source, epochs: int = 1) -> tuple[Saved, Data]:
    """A network as `search retrain` trains, judges and writes it; and the data."""
    recipe = RECIPES["digits"].with_epochs(epochs)
    evaluator = Evaluator(
        source=source, recipe=recipe, device="cpu", judge="test", learn_from_val=True, weights_into=into
    )
    design, report = Design("se"), {}
    training = evaluator("resnet11", design, 0)
    while not training.done:
        report = training.step()
    data = read_data(source)
    result = {"backbone": "resnet11", "design": str(design), "test_accuracy": report["test_accuracy"]}
    write_design(result, into, data, source, recipe, evaluator.study)
    return Saved.read(into / "resnet11-se"), data


@pytest.fixture
def described(tmp_path: Path) -> Any:
    """What a retrained network of a data set is described as, without training it."""

    def make(source: Source) -> tuple[Saved, Data]:
        data = read_data(source)
        folder = tmp_path / "described" / "resnet11-se"
        folder.mkdir(parents=True)
        whose = Identity(study="", backbone="resnet11", design="se", seed=0)
        save_file({}, folder / "model.safetensors", whose.metadata())
        write_design({"backbone": "resnet11", "design": "se"}, folder.parent, data, source, RECIPES["digits"], "")
        return Saved.read(folder), data

    return make


def test_predictions_of_the_test_images_have_the_reported_accuracy(search: Search, here: Path) -> None:
    write_squares(here / "squares")
    source = Source(name=f"folder:{here / 'squares'}", image_size=12, shorter_side=15)
    saved, data = retrained(here / "weights", source, epochs=3)
    paths = [data.test.images.paths[i] for i in range(len(data.test.labels))]  # type: ignore[attr-defined]
    ended = search("predict", str(saved.folder), *map(str, paths), "--json", "--top", "1")

    assert ended.code == 0
    assert [Path(each["image"]) for each in ended.json] == paths
    right = [each["predictions"][0]["class"] == path.parent.name for each, path in zip(ended.json, paths, strict=True)]
    assert sum(right) / len(paths) == pytest.approx(saved.described["test_accuracy"])
    assert 0 < sum(right) < len(paths), "a test that all are right, or none, says little"
    ((images, _),) = data.test.batches(torch.arange(len(paths)), len(paths))
    with torch.inference_mode():
        judged = space.load(saved.folder)(data.normaliser(torch.device("cpu"))(images)).softmax(1).amax(1)
    assert [each["predictions"][0]["probability"] for each in ended.json] == pytest.approx(judged.tolist(), abs=1e-6)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("sides", [(None, None), (11, None), (12, 15), (12, 17)])
def test_the_images_of_a_folder_are_read_to_the_last_bit(
    tmp_path: Path, described: Any, sides: tuple[int | None, int | None], cached: bool
) -> None:
    write_squares(tmp_path / "squares", 4)
    source = Source(
        name=f"folder:{tmp_path / 'squares'}",
        image_size=sides[0],
        shorter_side=sides[1],
        cache=tmp_path / "cache" if cached else None,
    )
    saved, data = described(source)
    paths = sorted((tmp_path / "squares").rglob("*.png"))
    seen = torch.cat(
        [
            batch
            for part in (data.train, data.val, data.test)
            for batch, _ in part.batches(torch.arange(len(part.labels)), 3)
        ]
    )
    ours = torch.cat(list(image_batches(paths, saved)))
    assert sorted(image.numpy().tobytes() for image in ours) == sorted(image.numpy().tobytes() for image in seen)


@pytest.mark.parametrize(("largest", "depth"), [(255, 8), (4095, 12), (60_000, 16)])
def test_deep_levels_are_divided_as_in_training(tmp_path: Path, described: Any, largest: int, depth: int) -> None:
    for label, name in enumerate(SQUARES):
        (tmp_path / "deep" / name).mkdir(parents=True)
        for number in range(1, 6):
            levels = np.full((6, 6), largest * number // 5 - label).astype(np.int32)
            Image.fromarray(levels).save(tmp_path / "deep" / name / f"{number}.tif")
    saved, data = described(Source(name=f"folder:{tmp_path / 'deep'}"))
    paths = [path for part in (data.train, data.val, data.test) for path in part.images.paths]
    seen = [
        next(part.batches(torch.arange(99)[: len(part.labels)], 99))[0] for part in (data.train, data.val, data.test)
    ]

    assert saved.described["depth"] == depth
    assert torch.equal(torch.cat(list(image_batches(paths, saved))), torch.cat(seen))
    assert len(torch.cat(seen).unique()) > 4
    for path in paths:  # alone as among others
        assert torch.equal(next(image_batches([path], saved))[0], torch.cat(seen)[paths.index(path)])


def test_a_picture_brighter_than_all_that_was_learnt_from_is_read_and_said(
    tmp_path: Path, described: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    write_squares(tmp_path / "squares", 4)
    saved, _ = described(Source(name=f"folder:{tmp_path / 'squares'}"))
    saved.described["depth"] = 10
    for level in (1023, 1030):
        Image.fromarray(np.full((8, 8), level, np.uint16)).save(tmp_path / f"{level}.tif")
    images = next(image_batches([tmp_path / "1023.tif", tmp_path / "1030.tif"], saved))
    assert images.unique().tolist() == [255]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{tmp_path}/1030.tif is brighter")


def test_a_network_that_was_described_before_depths_were_takes_deep_levels_for_16_bits(
    tmp_path: Path, described: Any
) -> None:
    write_squares(tmp_path / "squares", 4)
    saved, _ = described(Source(name=f"folder:{tmp_path / 'squares'}"))
    del saved.described["depth"]
    Image.fromarray(np.full((8, 8), 256 * 77, np.uint16)).save(tmp_path / "x.tif")
    assert next(image_batches([tmp_path / "x.tif"], saved)).unique().tolist() == [77]


@pytest.mark.parametrize("image_size", [None, 33])
def test_images_of_imagenet_are_read_to_the_last_bit(tmp_path: Path, described: Any, image_size: int | None) -> None:
    for split in ("train", "val"):
        write_squares(tmp_path / "imagenet" / split, 4)
    saved, data = described(Source(name="imagenet", root=tmp_path, image_size=image_size))
    ((seen, _),) = data.test.batches(torch.arange(len(data.test.labels)), 64)
    assert torch.equal(torch.cat(list(image_batches(data.test.paths, saved))), seen)


def test_a_grey_file_is_a_digit_to_the_last_bit(tmp_path: Path, described: Any) -> None:
    saved, data = described(Source(name="digits"))
    ((digits, _),) = data.test.batches(torch.arange(100), 100)
    for number, digit in enumerate(digits):
        Image.fromarray(digit[0].numpy()).save(tmp_path / f"{number}.png")
    paths = [tmp_path / f"{number}.png" for number in range(100)]
    assert torch.equal(torch.cat(list(image_batches(paths, saved))), digits)


def test_a_large_coloured_file_becomes_a_digit(tmp_path: Path, described: Any) -> None:
    saved, _ = described(Source(name="digits"))
    Image.new("RGB", (90, 60), (10, 200, 90)).save(tmp_path / "it.png")
    (batch,) = image_batches([tmp_path / "it.png"], saved)
    assert batch.shape == (1, 1, 8, 8)
    assert batch.unique().tolist() == [round(0.299 * 10 + 0.587 * 200 + 0.114 * 90)]


@pytest.mark.parametrize("shape", [(2, 8, 8), (3, 8, 9)])
def test_what_no_file_can_be_made_into_is_said(described: Any, shape: tuple[int, int, int]) -> None:
    saved, _ = described(Source(name="digits"))
    description = saved.folder / "design.json"
    description.write_text(json.dumps({**saved.described, "shape": shape}))
    with pytest.raises(UserError, match=" x ".join(map(str, shape))):
        next(image_batches([description], Saved.read(saved.folder)))


@pytest.fixture
def digit(here: Path) -> Path:
    """A picture beside a folder `weights/resnet11-se` and its export `exported`."""
    retrained(here / "weights", Source(name="digits"))
    Image.new("L", (8, 8), 70).save(here / "it.png")
    return here / "it.png"


def test_the_most_probable_classes_come_first(search: Search, digit: Path) -> None:
    ((only),) = search("predict", "weights", "it.png", "--json", "--top", "99").json
    best = only["predictions"]
    assert only["image"] == "it.png"
    assert sorted(each["class"] for each in best) == [str(n) for n in range(10)]
    probabilities = [each["probability"] for each in best]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)

    digit.rename("[red]it.png")
    shown = search("predict", "weights", "[red]it.png", "[red]it.png", "--top", "2")
    assert shown.out.split() == 2 * [
        "[red]it.png",
        *(word for each in best[:2] for word in (each["class"], f"{100 * each['probability']:.1f}", "%")),
    ]
    assert shown.err == ""


def test_exported_programs_agree_or_the_command_fails(search: Search, digit: Path, here: Path) -> None:
    with_onnx = search("export", "weights", "--into", "exported", "--json").json["files"][1] == "model.onnx"
    ended = search("predict", "exported", "it.png", "--json")
    assert ended.code == 0
    assert ended.json == search("predict", "weights", "it.png", "--json").json
    assert f"{'model.pt2 and model.onnx agree' if with_onnx else 'model.pt2 agrees'}: logits within " in ended.err

    saved, _ = retrained(here / "others", Source(name="digits"), epochs=2)
    search("export", str(saved.folder), "--into", "other", "--no-onnx")
    program = (here / "exported" / "model.pt2").read_bytes()
    shutil.copy(here / "other" / "model.pt2", here / "exported" / "model.pt2")
    ended = search("predict", "exported", "it.png")
    assert ended.code == 1
    assert "model.pt2 and the network differ: on a batch of 1 by" in ended.err
    (here / "exported" / "model.pt2").write_bytes(program)

    for name in ("model.onnx", "model.pt2") if with_onnx else ("model.pt2",):
        (here / "exported" / name).write_bytes(b"nothing")
        ended = search("predict", "exported", "it.png")
        assert ended.code == 1
        assert f"{name} cannot be read" in ended.err
        assert len(ended.err.strip().splitlines()) == 1


def test_what_is_no_image_is_named(search: Search, digit: Path, here: Path) -> None:
    (here / "notes.txt").write_text("no image")
    for arguments, told in (
        (["weights", "it.png", "nosuch.png"], "no file nosuch.png"),
        (["weights", "notes.txt"], "notes.txt is not a readable image"),
        (["weights", "weights"], "weights is a folder; name the files in it"),
        (["weights", "it.png", "--design", "ras"], "--design ras is not there; there is: se"),
        (["nosuch", "it.png"], "no weights 'nosuch'"),
    ):
        ended = search("predict", *arguments)
        assert ended.code == 2
        assert ended.out == ""
        (line,) = ended.err.strip().splitlines()
        assert line.startswith("search: ")
        assert told in line
