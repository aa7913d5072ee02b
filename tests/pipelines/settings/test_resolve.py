"""What a command means for an existing study: its data, its normalisation, and images as weights want them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.datasets import CIFAR10

from pipelines.settings.objectives import objectives_of
from pipelines.settings.options.shared import RunOptions
from pipelines.settings.options.task import TaskOptions
from pipelines.settings.resolve import find_data_root, find_recipe, read, resolve
from pipelines.settings.study import Settings
from space import UserError
from space.backbones import backbone
from space.normalisation import IMAGENET
from tests.pipelines.conftest import write_folder
from tests.trainers.test_datasets import cifar_files, stl10_files
from trainers.datasets import read_data
from trainers.recipe import RECIPES
from trainers.source import Source

SMALL = TaskOptions(backbone="resnet11", dataset="folder:images", batch_size=4)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a space for networks of any stages."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.toml").write_text('attention = ["none", "se"]')
    return tmp_path


@pytest.fixture
def run(here: Path) -> RunOptions:
    """In a folder with images of two classes."""
    write_folder(here / "images")
    return RunOptions(cache=here / "cache")


def resolved(task: TaskOptions, run: RunOptions, frozen: Settings | None = None) -> tuple[Settings, Source]:
    study, space = (None, "space.toml") if frozen is None else ("mine", None)
    return resolve(task, run, space=space, study=study, frozen=frozen)


def refused(task: TaskOptions, run: RunOptions, frozen: Settings | None = None) -> str:
    with pytest.raises(UserError) as raised:
        resolved(task, run, frozen)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def founded(run: RunOptions, **options: Any) -> Settings:
    """The settings of a study, as they come out of its storage."""
    settings, _ = resolved(replace(SMALL, **options), run)
    return Settings.from_json(json.loads(json.dumps(settings.to_json())))


def relabel(here: Path) -> None:
    (here / "images" / "class0" / "3.png").rename(here / "images" / "class1" / "30.png")
    (here / "images" / "class1" / "3.png").rename(here / "images" / "class0" / "3.png")


def test_a_study_goes_on_with_the_same_images_wherever_they_were_copied_from(run: RunOptions, here: Path) -> None:
    frozen = founded(run)
    again = shutil.copytree(here / "images", here / "again")
    shutil.rmtree(here / "images")
    again.rename(here / "images")

    settings, source = resolved(TaskOptions(), run, frozen)
    assert settings == frozen
    assert source.digest == frozen.data == read_data(source).digest


def test_other_labels_are_another_study_and_refused_in_a_named_one(run: RunOptions, here: Path) -> None:
    frozen = founded(run)
    relabel(here)

    assert founded(run).study_name() != frozen.study_name()
    message = refused(TaskOptions(), run, frozen)
    assert message.startswith("study mine was made with other images, labels or splits in folder:")
    assert message.endswith("put those back, or start another study")
    with pytest.raises(UserError, match="other images, labels or splits"):
        read(frozen, run, Path("data"))


def test_data_is_where_one_says_else_where_the_study_has_it_else_in_data_all_absolute(here: Path) -> None:
    said = RunOptions(data_root=Path("said"))
    assert find_data_root(said, here / "kept") == find_data_root(said) == here / "said"
    assert find_data_root(RunOptions(), here / "kept") == here / "kept"
    assert find_data_root(RunOptions()) == here / "data"


def test_a_recipe_is_what_one_says_else_the_studys_else_the_default(run: RunOptions) -> None:
    frozen = founded(run, recipe="ras", batch_size=3, epochs=82)
    assert find_recipe(None, None, frozen, "digits") == (frozen.recipe, "ras")
    assert find_recipe(None, 41, frozen, "digits")[0].drops == (20, 30)
    assert find_recipe("one-cycle", None, frozen, "digits") == (RECIPES["one-cycle"], "one-cycle")
    assert find_recipe(None, 7, None, "digits") == (RECIPES["digits"].with_epochs(7), "digits")


def test_a_setting_that_differs_is_told_before_the_images_that_differ_with_it(run: RunOptions) -> None:
    assert "--train-size None" in refused(TaskOptions(train_size=8), run, founded(run))


def test_workers_refuse_images_that_are_not_the_drivers(run: RunOptions, here: Path) -> None:
    _, source = resolved(SMALL, run)
    relabel(here)
    with pytest.raises(UserError, match="other images, labels or splits"):
        read_data(source)


def test_a_study_of_another_format_is_refused_in_a_line(run: RunOptions) -> None:
    table = founded(run).to_json()
    assert Settings.from_json(table).to_json() == table
    for other in ({**table, "format": 1}, {key: value for key, value in table.items() if key != "format"}):
        with pytest.raises(UserError, match="made by another version"):
            Settings.from_json(other)
        with pytest.raises(UserError, match="made by another version"):
            objectives_of({"settings": other})


def test_a_normalisation_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UserError, match="--normalise nonsense: there are measured, weights, imagenet"):
        TaskOptions(normalise="nonsense")


@pytest.mark.parametrize("exists", [False, True])
def test_a_normalisation_that_no_weights_tell_is_refused(run: RunOptions, exists: bool) -> None:
    frozen = founded(run) if exists else None
    message = refused(replace(SMALL, normalise="weights"), run, frozen)
    assert "--normalise weights: no weights" in message


@pytest.mark.parametrize(("made", "asked"), [("measured", "imagenet"), ("imagenet", "measured")])
def test_a_study_keeps_its_normalisation(run: RunOptions, made: str, asked: str) -> None:
    frozen = founded(run, normalise=made)
    assert f"study mine was made with --normalise {made};" in refused(TaskOptions(normalise=asked), run, frozen)
    for same in (None, made):
        assert resolved(TaskOptions(normalise=same), run, frozen)[0] == frozen


NETWORK = """
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)

    def forward(self, x):
        return x + self.norm(self.conv(x))

def make(num_classes, in_channels):
    pool = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(nn.Conv2d(in_channels, 8, 3, 2, 1), Block(), pool, nn.Flatten(), nn.Linear(8, num_classes))
"""


@pytest.fixture
def weights(here: Path) -> TaskOptions:
    """A network with a file of weights, which expect images of 24 pixels, cut out of 28."""
    (here / "net.py").write_text(NETWORK)
    (here / "trained").mkdir()
    network: nn.Module = backbone("net.py:make").make(3, 7)
    save_file(network.state_dict(), here / "trained" / "model.safetensors")
    described = {"shape": (3, 24, 24), "shorter_side": 28, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
    (here / "trained" / "design.json").write_text(json.dumps(described))
    return TaskOptions(backbone="net.py:make", weights="trained/model.safetensors", batch_size=4)


@pytest.mark.parametrize("name", ["folder:images", "cifar10", "stl10"])
def test_images_of_any_data_set_have_the_size_and_normalisation_of_the_weights(
    run: RunOptions,
    weights: TaskOptions,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    (here / "data").mkdir()
    if name == "cifar10":
        cifar_files(CIFAR10, "cifar10", 10)(here / "data", monkeypatch)
    elif name == "stl10":
        stl10_files(here / "data", monkeypatch)
    capsys.readouterr()
    settings, source = resolved(replace(weights, dataset=name), run)
    data = read_data(source)

    assert settings.shape == data.shape == (3, 24, 24)
    assert (data.mean, data.std) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    assert "images of 24 x 24 are normalised by mean 0.500" in " ".join(capsys.readouterr().err.split())
    for part in (data.train, data.test):
        for crop in (False, True):
            assert next(part.batches(torch.arange(2), 2, crop))[0].shape == (2, 3, 24, 24)
    assert resolved(replace(weights, dataset=name, image_size=16), run)[0].shape == (3, 16, 16)
    assert resolved(TaskOptions(normalise="weights"), run, settings)[0] == settings
    assert "made with --normalise weights;" in refused(TaskOptions(normalise="imagenet"), run, settings)


def test_normalisation_is_called_what_one_types_for_it(run: RunOptions) -> None:
    plain = founded(run)
    assert plain.normalisation == "measured"
    assert replace(plain, mean=IMAGENET[0], std=IMAGENET[1]).normalisation == "imagenet"
    assert replace(plain, mean=(0.5,) * 3, std=IMAGENET[1]).normalisation == "weights"


def test_one_image_to_train_on_is_told_what_it_lacks(run: RunOptions) -> None:
    message = refused(replace(SMALL, train_size=1), run)
    assert "1 image to train on" in message
    assert "batch" in message


def test_a_new_module_beside_a_network_is_another_study_and_refused_in_a_named_one(run: RunOptions, here: Path) -> None:
    (here / "net.py").write_text(
        "try:\n    import layers\nexcept ImportError:\n    pass\n"
        "from space.backbones import backbone\n"
        "def make(num_classes, in_channels):\n    return backbone('resnet11').make(in_channels, num_classes)\n"
    )
    own = replace(SMALL, backbone="net.py:make")
    frozen = founded(run, backbone="net.py:make")
    assert resolved(own, run, frozen)[0] == frozen
    (here / "layers.py").write_text("")
    assert "layers.py" in refused(own, run, frozen)


def test_where_no_backbone_is_typed_a_flag_means_the_studys(run: RunOptions) -> None:
    frozen = founded(run)
    assert resolved(TaskOptions(replace_attention=True), run, frozen)[0] == frozen
    assert "made with --backbone resnet11" in refused(TaskOptions(gate_at=r"stages\.0\.0\.bn2"), run, frozen)
