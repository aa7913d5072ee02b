"""A folder of weights gives the network back, or one line that says why not."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import space
from space import Design, UserError
from space.backbones import backbone
from space.build import build
from space.identity import Identity
from space.saved import Saved

OWN = """
from torchvision.models import resnet18

def make(num_classes=10):
    return resnet18(num_classes=num_classes)
"""


def write(folder: Path, name: str, design: Design, **changes: Any) -> nn.Module:
    """A folder as `search retrain` writes it, of a network with its weights drawn at random."""
    network = build(design, backbone(name), num_classes=3, in_channels=1).eval()
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.05, 0.2)
    folder.mkdir()
    save_file({key: value.clone() for key, value in network.state_dict().items()}, folder / "model.safetensors")
    described = {
        "backbone": name,
        "design": str(design),
        "fields": design.to_dict(),
        "classes": ["a", "b", "c"],
        "shape": [1, 8, 8],
        "mean": [0.25],
        "std": [0.5],
        **changes,
    }
    (folder / "design.json").write_text(json.dumps(described))
    return network


def logits(network: nn.Module) -> Tensor:
    with torch.inference_mode():
        computed: Tensor = network(torch.linspace(-1, 1, 128).view(2, 1, 8, 8))
    return computed


@pytest.mark.parametrize("design", ["none", "se:sharing=stage", "dia:cells=2", "ras:depth=3,start=unit"])
@pytest.mark.parametrize("file", ["", "design.json", "model.safetensors"])
def test_a_loaded_network_computes_what_the_saved_one_did(tmp_path: Path, design: str, file: str) -> None:
    network = write(tmp_path / "it", "resnet11", Design.parse(design))
    loaded = space.load(str(tmp_path / "it" / file))

    assert not loaded.training
    torch.testing.assert_close(logits(loaded), logits(network), rtol=0, atol=0)


def test_weights_of_another_seed_are_loaded_by_their_file(tmp_path: Path) -> None:
    write(tmp_path / "it", "resnet11", Design("se"))
    other = write(tmp_path / "other", "resnet11", Design("se"))
    (tmp_path / "other" / "model.safetensors").rename(tmp_path / "it" / "model-seed1.safetensors")

    loaded = space.load(tmp_path / "it" / "model-seed1.safetensors")
    torch.testing.assert_close(logits(loaded), logits(other), rtol=0, atol=0)


def test_loading_draws_nothing_from_the_users_generator(tmp_path: Path) -> None:
    write(tmp_path / "it", "resnet11", Design("se"))
    before = torch.get_rng_state()
    space.load(tmp_path / "it")
    assert torch.equal(torch.get_rng_state(), before)


def test_pixels_are_scaled_then_normalised(tmp_path: Path) -> None:
    write(tmp_path / "it", "resnet11", Design(), shape=[2, 8, 8], mean=[0.2, 0.4], std=[0.5, 0.1])
    pixels = torch.tensor([51, 255], dtype=torch.uint8).view(1, 2, 1, 1)
    seen = Saved.read(tmp_path / "it").normalise(pixels)
    torch.testing.assert_close(seen.flatten(), torch.tensor([(0.2 - 0.2) / 0.5, (1.0 - 0.4) / 0.1]))


def test_importing_space_leaves_torch_out_until_a_network_is_loaded() -> None:
    program = (
        "import sys, space\n"
        "assert 'torch' not in sys.modules\n"
        "assert callable(space.load) and 'torch' in sys.modules\n"
        "assert not hasattr(space, 'laod')"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def error(path: Path) -> str:
    with pytest.raises(UserError) as raised:
        space.load(path)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_what_is_no_such_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "notes.txt", tmp_path / "nowhere" / "design.json"):
        assert f"{path} is no folder with design.json and model.safetensors" in error(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"backbone": "resnet11", "shape": [1, 8]}', "\N{SNOWMAN}"])
def test_a_description_of_somebody_else_is_named(tmp_path: Path, text: str) -> None:
    write(tmp_path / "it", "resnet11", Design("se"))
    (tmp_path / "it" / "design.json").write_text(text)
    assert "design.json is not as `search retrain` wrote it" in error(tmp_path / "it")


def test_an_attention_that_nobody_registered_is_named(tmp_path: Path) -> None:
    write(tmp_path / "it", "resnet11", Design("se"), fields={"attention": "mine"})
    told = error(tmp_path / "it")
    assert "no attention 'mine'" in told
    assert "plug-in" in told


@pytest.mark.parametrize("design", ["se:reduction=2", "ras", "none"])
def test_weights_of_another_design_do_not_fit(tmp_path: Path, design: str) -> None:
    write(tmp_path / "it", "resnet11", Design("se"), fields=Design.parse(design).to_dict())
    told = error(tmp_path / "it")
    assert f"does not fit resnet11 {design}" in told
    assert re.search(r"stages\.0\.0\.\S+ and \d+ more", told)


def test_half_a_file_of_weights_is_named(tmp_path: Path) -> None:
    write(tmp_path / "it", "resnet11", Design("se"))
    weights = tmp_path / "it" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert f"{weights} cannot be read" in error(tmp_path / "it")


def test_a_network_whose_code_is_gone_has_its_program(tmp_path: Path) -> None:
    code = tmp_path / "own.py"
    code.write_text(OWN)
    network = write(tmp_path / "it", f"{code}:make", Design("se"))
    torch.testing.assert_close(logits(space.load(tmp_path / "it")), logits(network), rtol=0, atol=0)

    description = tmp_path / "it" / "design.json"
    description.write_text(description.read_text().replace("own.py", "gone.py"))
    told = error(tmp_path / "it")
    assert str(tmp_path / "gone.py") in told
    assert "bring its code back" in told
    assert "model.pt2" not in told
    (tmp_path / "it" / "model.pt2").touch()
    assert "model.pt2, which needs none" in error(tmp_path / "it")


@pytest.mark.parametrize(
    "whose",
    [
        None,
        Identity(study="before", backbone="resnet11", design="se", seed=0),
        Identity(study="now", backbone="resnet11", design="se:start=unit", seed=0),
    ],
)
def test_weights_of_another_training_than_is_described_are_refused(tmp_path: Path, whose: Identity | None) -> None:
    network = write(tmp_path / "it", "resnet11", Design("se"), study="now")
    state = {key: value.clone() for key, value in network.state_dict().items()}
    own = Identity(study="now", backbone="resnet11", design="se", seed=0)
    save_file(state, tmp_path / "it" / "model.safetensors", own.metadata())
    assert torch.equal(logits(space.load(tmp_path / "it")), logits(network))

    save_file(state, tmp_path / "it" / "model.safetensors", None if whose is None else whose.metadata())
    with pytest.raises(UserError, match="is not of the training that the design"):
        space.load(tmp_path / "it")
