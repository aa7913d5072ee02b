"""Networks, weights and images of a user's own, through the commands."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pipelines.settings.resolve import digests
from search.storage import Storage
from space.backbones import backbone
from tests.pipelines.commands.test_bad_input import assert_one_line
from tests.pipelines.conftest import Ended, Search, write_folder

NETWORK = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        return torch.relu(x + self.norm(self.conv(x)))

def make(num_classes=10):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), Block(8), Block(8), nn.Conv2d(8, 16, 3, 2, 1), Block(16),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, num_classes),
    )

def raises():
    raise KeyError("nothing here")

def no_module():
    return 3

def small_only(num_classes=10):
    return nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), Block(8), nn.Flatten(), nn.Linear(8 * 32 * 32, num_classes))

def no_sum():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
"""
MAKE = "net.py:make"
TINY = ("--dataset", "folder:images", "--epochs", "1", "--batch-size", "4", "--engine", "local", "--space", "tiny.toml")


@pytest.fixture
def own(search: Search, here: Path) -> Search:
    """Commands in a folder with net.py, images of three classes, and a space for two stages."""
    (here / "net.py").write_text(NETWORK)
    (here / "tiny.toml").write_text('attention = ["none", "se", "ras", "eca"]\nstages = ["all", "2"]\n')
    write_folder(here / "images", classes=3)
    return search


def launched(own: Search, *arguments: str) -> Ended:
    return own("launch", "--backbone", MAKE, *TINY, "--budget", "3", *arguments)


def weights_of(here: Path, classes: int = 3) -> Path:
    """A file with weights of the user's network."""
    torch.manual_seed(0)
    network = backbone(f"{here}/{MAKE}").make(3, classes)
    save_file(network.state_dict(), here / "own.safetensors")
    return here / "own.safetensors"


def test_the_places_for_gates_are_shown_before_anything_is_trained(own: Search) -> None:
    ended = own("profile", "--backbone", MAKE, "--show-gates", "--image-size", "16", "--json")

    assert [place["module"] for place in ended.json] == ["1.norm", "2.norm", "4.norm"]
    assert [place["stage"] for place in ended.json] == [1, 1, 2]
    assert [place["channels"] for place in ended.json] == [8, 8, 16]
    assert [place["resolution"] for place in ended.json] == [[8, 8], [8, 8], [4, 4]]


def test_a_design_shows_the_places_of_its_stages(own: Search) -> None:
    ended = own("profile", "se:stages=2", "--backbone", MAKE, "--show-gates", "--image-size", "16", "--json")
    assert [place["module"] for place in ended.json] == ["4.norm"]


def test_a_pattern_says_where_and_its_groups_the_stages(own: Search) -> None:
    ended = own("profile", "--backbone", MAKE, "--gate-at", r"([12])\.conv", "--show-gates", "--json")
    assert [(place["module"], place["stage"]) for place in ended.json] == [("1.conv", 1), ("2.conv", 2)]


def test_an_own_network_is_searched_and_retrained(own: Search, here: Path) -> None:
    ended = launched(own, "--study", "own", "--json")

    assert ended.code == 0, ended.err
    assert ended.json["trials"] == 3
    record = Storage("runs").read("own")
    assert {trial.job.backbone for trial in record.trials} == {f"{here}/{MAKE}"}
    assert own("retrain", "own", "--top", "1", "--seeds", "1", "--engine", "local").code == 0
    assert list((here / "runs" / "own").glob("retrain-*/net-py-make~*-none/model.safetensors"))


def test_a_network_whose_file_changed_is_another_study(own: Search, here: Path) -> None:
    assert launched(own, "--study", "own").code == 0
    (here / "net.py").write_text(NETWORK + "\n# another one\n")
    assert_one_line(own, here, ["launch", "--study", "own", *TINY[2:-2]], "another content of", "net.py")


def test_a_study_knows_the_modules_beside_its_networks(here: Path) -> None:
    (here / "net.py").write_text("def make(num_classes):\n    from layers import block")
    (here / "layers.py").write_text("block = 1")
    before = digests((f"{here}/{MAKE}", "resnet20", "torchvision/resnet18@(?:a|b):c"), None, None)
    assert {Path(file).name for file in before} == {"net.py", "layers.py"}
    (here / "layers.py").write_text("block = 2")
    after = digests((f"{here}/{MAKE}",), None, None)
    assert [file for file in before if before[file] != after[file]] == [str(here / "layers.py")]


def test_with_weights_every_design_starts_at_1(own: Search, here: Path) -> None:
    ended = launched(own, "--study", "tuned", "--weights", str(weights_of(here)))

    assert ended.code == 0, ended.err
    record = Storage("runs").read("tuned")
    assert record.attributes["settings"]["recipe_name"] == "fine-tune"
    gated = [trial.job.design for trial in record.trials if trial.job.design.attention != "none"]
    assert gated
    assert all(design["start"] == "unit" for design in gated)


def test_weights_for_another_number_of_classes_get_a_new_last_layer(own: Search, here: Path) -> None:
    assert launched(own, "--weights", str(weights_of(here, classes=7))).code == 0


def test_changed_weights_are_another_study(own: Search, here: Path) -> None:
    path = weights_of(here)
    assert launched(own, "--study", "tuned", "--weights", str(path)).code == 0
    state = backbone(f"{here}/{MAKE}").make(3, 3).state_dict()
    save_file({name: torch.zeros_like(tensor) for name, tensor in state.items()}, path)
    assert_one_line(own, here, ["launch", "--study", "tuned", "--engine", "local"], "another content of", str(path))


def test_weights_of_ours_say_what_images_they_expect(own: Search, here: Path) -> None:
    path = weights_of(here)
    described = {"shape": [3, 10, 10], "shorter_side": 11, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    (here / "design.json").write_text(json.dumps(described))

    assert launched(own, "--study", "tuned", "--weights", str(path)).code == 0
    settings = Storage("runs").read("tuned").attributes["settings"]
    assert (settings["shape"], settings["shorter_side"]) == ([3, 10, 10], 11)
    assert (settings["mean"], settings["std"]) == ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])

    assert launched(own, "--study", "measured", "--weights", str(path), "--normalise", "measured").code == 0
    assert Storage("runs").read("measured").attributes["settings"]["mean"] is None


def test_images_flags_reach_the_recipe_and_the_source(own: Search) -> None:
    ended = launched(own, "--study", "own", "--image-size", "14", "--resized-crop", "--no-flip", "--class-weights",
                     "--metric", "balanced_accuracy", "--normalise", "imagenet", "--learning-rate", "0.03")  # fmt: skip

    assert ended.code == 0, ended.err
    record = Storage("runs").read("own")
    settings = record.attributes["settings"]
    recipe = settings["recipe"]
    assert settings["shape"] == [3, 14, 14]
    assert settings["shorter_side"] == 16
    assert settings["mean"] == [0.485, 0.456, 0.406]
    assert (recipe["resized_crop"], recipe["flip"], recipe["class_weights"]) == (True, False, True)
    assert (recipe["learning_rate"], recipe["batch_size"]) == (0.03, 4)
    front = own("front", "own", "--json").json["params"]
    scores = [trial.last["val_balanced_accuracy"] for trial in record.trials if trial.trained]
    assert min(scores) <= front[0]["val_balanced_accuracy"] <= max(scores)
    assert all({"val_accuracy", "val_macro_f1"} <= trial.last.keys() for trial in record.trials)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["profile", "--backbone", "net.py:raises"], ["net.py:raises raises KeyError", "nothing here"]),
        (["profile", "--backbone", "net.py:no_module"], ["net.py:no_module returns int", "Module"]),
        (["profile", "--backbone", "net.py:no_sum"], ["no residual branch found", "--gate-at PATTERN"]),
        (["profile", "--backbone", "net.py:nothing"], ["net.py has no 'nothing'"]),
        (["profile", "--backbone", "nofile.py:make"], ["nofile.py"]),
        (["profile", "--backbone", "no.module:make"], ["no.module"]),
        (["profile", "--backbone", "torchvision/resnet19"], ["torchvision/resnet19", "resnet18"]),
        (["profile", "--backbone", "timm/resnet19"], ["timm/resnet19", "resnet18"]),
        (["profile", "--backbone", MAKE, "--gate-at", "nothing"], ["--gate-at nothing", "1.norm"]),
        (["profile", "--backbone", MAKE, "--gate-at", "(1"], ["--gate-at (1", "regular expression"]),
        (["profile", "--backbone", MAKE, "--gate-at", r"1\..*"], ["1.conv and 1.norm", "one branch"]),
        (["profile", "--backbone", MAKE, "--gate-at", "6"], ["--gate-at 6", "no map"]),
        (["launch", "--backbone", MAKE, *TINY, "--weights", "net.py"], ["--weights net.py"]),
        (["launch", "--backbone", MAKE, *TINY, "--weights", "text.pt"], ["--weights", "text.pt", "tensors alone"]),
        (["launch", "--backbone", "resnet20", *TINY, "--weights", "own.safetensors"], ["do not fit", "missing stem"]),
        (["launch", "--backbone", f"{MAKE},resnet20", *TINY, "--weights", "own.safetensors"], ["one --backbone"]),
        (["launch", "--backbone", "net.py:small_only", *TINY], ["net.py:small_only takes no images of 3 x 12 x 12"]),
        (["launch", "--plugin", "nofile.py"], ["--plugin nofile.py"]),
        (["launch", "--plugin", "broken.py"], ["broken.py raises ZeroDivisionError"]),
        (["launch", "--sampler", "net.py:make"], ["--sampler net.py:make"]),
        (["launch", "--cache-limit", "much", *TINY], ["--cache-limit much"]),
    ],
)
def test_a_mistake_is_one_line(own: Search, here: Path, arguments: list[str], words: list[str]) -> None:
    weights_of(here)
    (here / "text.pt").write_text("no tensors")
    (here / "broken.py").write_text("1 / 0")
    assert_one_line(own, here, arguments, *words)


def test_weights_that_do_not_fit_are_told_before_anything_is_written(own: Search, here: Path) -> None:
    state = nn.Sequential(*[nn.Conv2d(1, 1, 1) for _ in range(4)]).state_dict()
    save_file(state, here / "other.safetensors")
    assert_one_line(
        own, here, ["launch", "--backbone", MAKE, *TINY, "--weights", "other.safetensors"], "0.weight", "and"
    )
