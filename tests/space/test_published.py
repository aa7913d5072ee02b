"""Pretrained weights by name: fetched once, with what images they expect."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import Tensor
from torchvision.models._api import WeightsEnum

from space.backbones import backbone
from space.build import build
from space.design import Design
from space.errors import UserError
from space.published import find_pretrained
from space.state import read_state

RESNET18 = "torchvision/resnet18"


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was fetched; in the place of the network stand networks of random weights."""
    names: list[str] = []
    create_model = timm.create_model

    def torchvision_state(self: WeightsEnum, *arguments: Any, **options: Any) -> dict[str, Tensor]:
        names.append(self.name)
        torch.manual_seed(1)
        state: dict[str, Tensor] = torchvision.models.resnet18().state_dict()
        return state

    def timm_network(name: str, pretrained: bool = False, **options: Any) -> Any:
        if pretrained:
            names.append(name)
        return create_model(name, pretrained=False, **options)

    monkeypatch.setattr(WeightsEnum, "get_state_dict", torchvision_state)
    monkeypatch.setattr(timm, "create_model", timm_network)
    return names


@pytest.mark.parametrize("name", ["IMAGENET1K_V1", "imagenet1k_v1", "DEFAULT", "default"])
def test_torchvisions_weights_are_fetched_once(fetched: list[str], tmp_path: Path, name: str) -> None:
    first, second = (find_pretrained(name, RESNET18, tmp_path) for _ in range(2))

    assert fetched == ["IMAGENET1K_V1"]
    assert first == second
    torch.manual_seed(1)
    torch.testing.assert_close(dict(load_file(first.path)), dict(torchvision.models.resnet18().state_dict()))


def test_torchvisions_weights_say_what_images_they_expect(fetched: list[str], tmp_path: Path) -> None:
    images = find_pretrained("DEFAULT", RESNET18, tmp_path).images

    assert images is not None
    assert (images.side, images.shorter_side) == (224, 256)
    assert (images.mean, images.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(("text", "member", "tag"), [
    ("a1_in1k", "resnet18", "a1_in1k"), ("default", "resnet18.a2_in1k", "a2_in1k"), ("a3_in1k", "resnet18", "a3_in1k"),
])  # fmt: skip
def test_timms_weights_are_fetched_once(fetched: list[str], tmp_path: Path, text: str, member: str, tag: str) -> None:
    first, second = (find_pretrained(text, f"timm/{member}", tmp_path) for _ in range(2))

    assert fetched == [f"resnet18.{tag}"]
    assert first == second
    config: Any = timm.models.get_pretrained_cfg(f"resnet18.{tag}")
    assert first.images is not None
    assert first.images.side == config.input_size[-1]
    assert first.images.shorter_side == round(config.input_size[-1] / config.crop_pct)


def test_fetched_weights_fit_another_number_of_classes(fetched: list[str], tmp_path: Path) -> None:
    state = read_state(find_pretrained("DEFAULT", RESNET18, tmp_path).path)
    network = build(Design("eca"), backbone(RESNET18), 7, 3, state)

    own = network.state_dict()
    assert own["fc.weight"].shape == (7, 512)
    torch.testing.assert_close(own["conv1.weight"], state["conv1.weight"])


def test_a_file_for_a_librarys_network_expects_what_its_published_weights_do(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "mine.safetensors")
    for name in (RESNET18, "timm/resnet18"):
        found = find_pretrained(str(tmp_path / "mine.safetensors"), name, tmp_path)
        assert found.images is not None
        assert found.images.mean == (0.485, 0.456, 0.406)
    assert find_pretrained(str(tmp_path / "mine.safetensors"), "resnet20", tmp_path).images is None


def test_a_design_json_beside_a_file_says_what_images_it_expects(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    described = {"shape": [3, 48, 48], "shorter_side": 55, "mean": [0.1, 0.2, 0.3], "std": [1.0, 0.5, 0.25]}
    (tmp_path / "design.json").write_text(json.dumps(described))
    images = find_pretrained(str(tmp_path / "model.safetensors"), RESNET18, tmp_path).images

    assert images is not None
    assert (images.side, images.shorter_side, images.mean) == (48, 55, (0.1, 0.2, 0.3))

    (tmp_path / "design.json").write_text('{"somebody": "else"}')
    again = find_pretrained(str(tmp_path / "model.safetensors"), RESNET18, tmp_path).images
    assert again is not None
    assert again.side == 224


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("nowhere.pt", RESNET18, "no such file"),
        ("IMAGENET1K_V7", RESNET18, "IMAGENET1K_V1"),
        ("tag", "timm/resnet18", "a1_in1k"),
        ("DEFAULT", "resnet20", "name a file"),
    ],
)
def test_a_mistake_says_what_there_is(tmp_path: Path, text: str, name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        find_pretrained(text, name, tmp_path)


def test_without_a_network_the_error_says_to_name_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*arguments: Any, **options: Any) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", offline)
    with pytest.raises(UserError, match=r"could not be fetched \(Name or service not known\); .* name the file"):
        find_pretrained("DEFAULT", RESNET18, tmp_path)
    assert not list(tmp_path.rglob("*"))
