"""The evaluator: the same numbers under the same seed, in any process."""

import pickle
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from space.declarations import REDUCTION, declare
from space.declared import DECLARED
from space.design import Design
from space.errors import UserError
from trainers.evaluator import Evaluator, design_folder, fresh_network, trained_network, weights_name
from trainers.recipe import recipe
from trainers.source import Source
from trainers.spread import Spread
from trainers.training import Training

SEARCHING = Evaluator(source=Source(name="digits", train_size=50), recipe=recipe("digits").with_epochs(2), device="cpu")


def reports(training: Training | Spread) -> list[dict[str, float]]:
    found = []
    while not training.done:
        found.append({name: value for name, value in training.step().items() if name != "seconds"})
    return found


@pytest.mark.parametrize("design", ["none", "se:start=unit", "ras", "dia"])
def test_the_same_seed_gives_the_same_numbers_whatever_came_before(design: str) -> None:
    parsed = Design.parse(design)
    first = reports(SEARCHING("resnet11", parsed, seed=3))
    torch.rand(7)
    reports(SEARCHING("resnet11", Design("eca"), seed=8))

    assert reports(SEARCHING("resnet11", parsed, seed=3)) == first
    assert reports(SEARCHING("resnet11", parsed, seed=4)) != first


def test_an_evaluator_that_was_pickled_gives_the_same_numbers() -> None:
    copied = pickle.loads(pickle.dumps(SEARCHING))
    assert copied == SEARCHING
    assert reports(copied("resnet11", Design("se"), 1)) == reports(SEARCHING("resnet11", Design("se"), 1))


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    reports(SEARCHING("resnet11", Design("cbam"), seed=0))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_search_is_judged_on_validation_images() -> None:
    assert all(
        "val_accuracy" in report and "test_accuracy" not in report
        for report in reports(SEARCHING("resnet11", Design(), seed=0))
    )


def test_retraining_learns_from_validation_images_too_and_writes_what_was_tested(tmp_path: Path) -> None:
    source = Source(name="digits", train_size=950)  # leaves 48 images to validate on
    retraining = replace(
        SEARCHING,
        source=source,
        recipe=SEARCHING.recipe.with_epochs(1),
        judge="test",
        learn_from_val=True,
        weights_into=tmp_path,
    )
    steps: set[float] = set()
    for seed in (0, 2):
        training = retraining("resnet11", Design("se"), seed)
        (report,) = reports(training)
        assert "test_accuracy" in report
        assert "val_accuracy" not in report
        steps.add(training.state_dict()["scheduler"]["last_epoch"])

    assert steps == {-(-998 // SEARCHING.recipe.batch_size)}
    folder = tmp_path / design_folder("resnet11", Design("se"))
    assert {path.name for path in folder.iterdir()} == {weights_name(0), weights_name(2)}


BACKBONES = [
    *("resnet20", "resnet20+no_bn", "resnet20+no_bn+no_skip", "wrn52-4", "wrn52", "resnext101-8x32", "resnext101"),
    *("imagenet/resnet50", "imagenet-resnet50", "imagenet.resnet50", "imagenet", "timm/imagenet", "timm/2x", "timm-2x"),
    *("torchvision/resnet18", "torchvision/resnet18@layer.*bn2", "torchvision/resnet18@layer,*bn2", "Torchvision"),
    *("/home/me/a/net.py:make", "/home/me/b/net.py:make", "/home/me/a-net.py:make", "net.py:make", "net:py.make"),
    *("nets.a:make", "nets:a.make", "nets-a-make", "nets_a_make", "little", "little-se", "little-se-reduction", "se"),
    *(
        "timm/resnet18.a1_in1k",
        "timm/resnet18_a1_in1k",
        "timm/" + 40 * "long_",
        "timm/" + 40 * "long_" + "er",
        "é",
        "_",
    ),
]
WORDS = ("x", "x_depth_2", "depth2", "resnet20", "x_start_unit", "se_reduction_8")
"""Names of attentions that might be taken for something else."""


def test_no_two_backbones_and_designs_have_one_folder(registries: None) -> None:
    for word in WORDS:
        DECLARED[word] = declare("excitation", (REDUCTION.with_default(8),))
    texts = ["{}", "{}:depth=2", "{}:depth=2,stages=2", "{}:stages=2", "{}:reduction=2", "{}:start=unit"]
    designs = [Design()] + [Design.parse(text.format(word)) for word in ("se", *WORDS) for text in texts]
    pairs = [(name, design) for name in BACKBONES for design in designs]
    folders = [design_folder(name, design) for name, design in pairs]

    assert len({folder.lower() for folder in folders}) == len(set(pairs))
    assert all(re.fullmatch(r"[\w+~-]+", folder) and len(folder) < 150 for folder in folders)
    assert len({design.dashed for design in designs}) == len(designs)
    assert len({weights_name(seed) for seed in range(4)}) == 4


def test_a_name_of_words_is_its_folder() -> None:
    design = Design.parse("se:reduction=8,stages=23")
    for name, folder in (
        ("resnet20", "resnet20-se-stages-23-reduction-8"),
        ("wrn52-4", "wrn52-4-se-stages-23-reduction-8"),
        ("torchvision/resnet18", "torchvision-resnet18-se-stages-23-reduction-8"),
    ):
        assert design_folder(name, design) == folder
    assert re.fullmatch("net-py-make~[0-9a-f]{8}-none", design_folder("/home/me/net.py:make", Design()))


def test_only_the_weights_of_the_training_that_is_meant_are_taken(tmp_path: Path) -> None:
    writing = replace(SEARCHING, recipe=SEARCHING.recipe.with_epochs(1), judge="test", weights_into=tmp_path, study="a")
    reports(writing("resnet11", Design(), seed=1))
    folder = tmp_path / design_folder("resnet11", Design())
    assert trained_network(tmp_path, "resnet11", Design(), 1, 10, 1, "a")

    with pytest.raises(UserError, match="does not hold what this study trained as resnet11 none, seed 1"):
        trained_network(tmp_path, "resnet11", Design(), 1, 10, 1, "b")
    shutil.copy(folder / weights_name(1), folder / weights_name(0))
    shutil.copytree(folder, tmp_path / design_folder("preresnet11", Design()))
    for name, seed in (("resnet11", 0), ("preresnet11", 1), ("resnet20", 0)):
        with pytest.raises(UserError, match=f"does not hold what this study trained as {name} none, seed {seed}"):
            trained_network(tmp_path, name, Design(), seed, 10, 1, "a")


def test_weights_are_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writing = replace(SEARCHING, recipe=SEARCHING.recipe.with_epochs(1), judge="test", weights_into=tmp_path)
    reports(writing("resnet11", Design(), seed=0))
    file = tmp_path / design_folder("resnet11", Design()) / weights_name(0)
    before = file.read_bytes()

    def torn(tensors: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr("trainers.training.save_file", torn)
    with pytest.raises(OSError, match="no space left"):
        reports(writing("resnet11", Design(), seed=0))
    assert file.read_bytes() == before


def test_with_weights_a_training_begins_with_them_and_gates_of_1(tmp_path: Path) -> None:
    writing = replace(SEARCHING, judge="test", weights_into=tmp_path)
    reports(writing("resnet11", Design(), seed=0))
    file = tmp_path / design_folder("resnet11", Design()) / weights_name(0)
    images = torch.rand(4, 1, 8, 8)

    plain = fresh_network("resnet11", Design(), 1, 10, 1, file).eval()
    trained = trained_network(tmp_path, "resnet11", Design(), 0, 10, 1, "").eval()
    gated = fresh_network("resnet11", Design("se", start="unit"), 2, 10, 1, file).eval()

    with torch.inference_mode():
        torch.testing.assert_close(plain(images), trained(images), rtol=0, atol=0)
        torch.testing.assert_close(gated(images), trained(images), rtol=0, atol=1e-6)


def test_gates_and_classifier_learn_faster_than_what_came_with_weights(tmp_path: Path) -> None:
    writing = replace(SEARCHING, judge="test", weights_into=tmp_path)
    reports(writing("resnet11", Design(), seed=0))
    file = tmp_path / design_folder("resnet11", Design()) / weights_name(0)
    tuning = replace(SEARCHING, weights=file, recipe=replace(SEARCHING.recipe, backbone_rate=0.25))

    fast, slow = tuning("resnet11", Design("se", start="unit"), 1).state_dict()["optimizer"]["param_groups"]

    network = fresh_network("resnet11", Design("se", start="unit"), 1, 10, 1)
    new = [name for name, _ in network.named_parameters() if ".gate." in name or name.startswith("fc.")]
    assert len(fast["params"]) == len(new)
    assert len(slow["params"]) == len(list(network.parameters())) - len(new)
    assert slow["lr"] == pytest.approx(0.25 * fast["lr"])
