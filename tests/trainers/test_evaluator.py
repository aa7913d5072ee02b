"""The evaluator: the same numbers under the same seed, in any process."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from space.design import Design
from trainers.datasets import Source
from trainers.evaluator import Evaluator, design_folder, fresh_network, trained_network, weights_name
from trainers.recipe import recipe
from trainers.training import Training

SEARCHING = Evaluator(source=Source(name="digits", train_size=50), recipe=recipe("digits").with_epochs(2), device="cpu")


def reports(training: Training) -> list[dict[str, float]]:
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
    source = Source(name="digits", train_size=1500)  # leaves 148 images to validate on
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

    assert steps == {-(-1648 // SEARCHING.recipe.batch_size)}
    folder = tmp_path / design_folder("resnet11", Design("se"))
    assert {path.name for path in folder.iterdir()} == {weights_name(0), weights_name(2)}


def test_designs_and_seeds_have_files_of_their_own() -> None:
    designs = [Design(), Design("se"), Design("se", stages="2"), Design("se", reduction=2), Design("ras", depth=3)]
    folders = {design_folder(name, design) for name in ("resnet11", "resnet20") for design in designs}
    assert len(folders) == 10
    assert len({weights_name(seed) for seed in range(4)}) == 4
    assert all("/" not in folder and " " not in folder for folder in folders)


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
