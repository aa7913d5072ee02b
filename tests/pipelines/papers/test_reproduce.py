"""`search reproduce`: trained small, resumed, compared, looked into."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient
from PIL import Image

from pipelines.papers.experiments import experiment, experiments
from pipelines.papers.training import metric_name
from pipelines.papers.variants import _moved, _on, grouped
from pipelines.settings.options.shared import RunOptions
from pipelines.settings.options.task import Changes
from pipelines.terminal.formats import file_name
from space import UserError
from space.user_code import UserCode
from tests.pipelines.conftest import Ended, Search, mlflow_runs, write_folder
from trainers.data import Data
from trainers.datasets import DATASETS
from trainers.images import TensorImages
from trainers.recipe import RECIPES
from trainers.source import Source
from trainers.training import Training

SMALL = ("--dataset", "digits", "--epochs", "1", "--train-size", "60", "--engine", "local", "--json")


def reproduce(search: Search, name: str, backbone: str, *arguments: str) -> Ended:
    ended = search("reproduce", name, "--backbone", backbone, *SMALL, *arguments)
    assert ended.code == 0, ended.err
    return ended


def by_row(ended: Ended) -> dict[str, Any]:
    return {result["row"]: result for result in ended.json["results"]}


def test_without_a_name_every_experiment_is_listed(search: Search) -> None:
    listed = search("reproduce", "--json").json
    assert [entry["experiment"] for entry in listed] == list(experiments())
    assert [entry["rows"] for entry in listed] == [[row.name for row in e.rows] for e in experiments().values()]
    assert all(name in search("reproduce").out for name in experiments())


def test_rows_are_trained_under_the_same_seeds_and_compared(search: Search) -> None:
    results = by_row(reproduce(search, "dia-table1", "resnet20", "--seeds", "2"))

    assert list(results) == [row.name for row in experiment("dia-table1").rows]
    for result in results.values():
        assert list(result["by_seed"]) == ["0", "1"]
        accuracies = list(result["by_seed"].values())
        assert result["test_accuracy"] == pytest.approx(sum(accuracies) / 2)
        assert result["best_epoch_test_accuracy"] >= result["test_accuracy"] - 1e-9
        assert all(0 <= accuracy <= 100 for accuracy in accuracies)
    plain = next(result for result in results.values() if result["design"] == "none")
    assert plain["relative_fps"] == 1
    for result in results.values():
        if result["against"] is not None:
            rival = results[result["against"]]
            differences = [result["by_seed"][seed] - rival["by_seed"][seed] for seed in ("0", "1")]
            assert result["paired_difference"]["mean"] == pytest.approx(sum(differences) / 2)
            assert result["paired_difference"]["pairs"] == 2


def test_the_same_command_trains_nothing_more_and_more_rows_or_seeds_extend_it(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    step = Training.step

    def counted(self: Training) -> dict[str, float]:
        steps.append(self.epoch)
        return step(self)

    monkeypatch.setattr(Training, "step", counted)
    some = by_row(reproduce(search, "dia-table1", "resnet11", "--rows", "org", "--seeds", "1"))
    assert len(steps) == len(some) == 1
    every = by_row(reproduce(search, "dia-table1", "resnet11", "--seeds", "2"))
    assert len(steps) == 2 * len(every)
    again = by_row(reproduce(search, "dia-table1", "resnet11", "--seeds", "2"))
    assert len(steps) == 2 * len(every)
    assert again == every
    fewer = by_row(reproduce(search, "dia-table1", "resnet11", "--rows", "org", "--seeds", "1"))
    assert len(steps) == 2 * len(every)
    assert fewer == some

    (parent,) = mlflow_runs("reproduce")
    assert len(mlflow_runs()) == len(steps)
    assert parent.data.params["experiment"] == "dia-table1"
    assert sum(name.startswith("test_accuracy/") for name in parent.data.metrics) == len(every)


def test_on_the_papers_data_the_papers_values_stand_beside_ours(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tiny(source: Source, download: bool) -> Data:
        torch.manual_seed(0)
        splits = [TensorImages(torch.randint(256, (n, 3, 8, 8)).byte(), torch.arange(n) % 10) for n in (150, 20, 30)]
        train, val, test = splits
        return Data(
            name="cifar10",
            classes=tuple("0123456789"),
            shape=(3, 8, 8),
            mean=(0.5,) * 3,
            std=(0.25,) * 3,
            train=train,
            val=val,
            test=test,
        )

    monkeypatch.setitem(DATASETS, "cifar10", tiny)
    rows = ("--rows", "ResNet83-org CIFAR10", "--rows", "resnet83-ras cifar10")
    arguments = ("reproduce", "ras-table1", *rows, "--seeds", "1", "--engine", "local")
    ended = search(*arguments, "--epochs", "1", "--json")
    assert ended.code == 0, ended.err
    plain, ras = ended.json["results"]

    assert ras["printed"] == {
        "params_millions": 0.89,
        "exploded": False,
        "test_accuracy": 94.47,
        "test_accuracy_std": 0.02,
        "gain": None,
        "fps": 6545,
        "relative_fps": pytest.approx(6545 / 8076),
    }
    assert (ras["recipe"], ras["num_params"], plain["num_params"]) == ("ras", 885658, 869530)
    shown = search(*arguments, "--epochs", "1")
    assert "94.47 ± 0.02" in shown.out
    assert "0.81 x" in shown.out
    assert f"{ras['test_accuracy'] - 94.47:+.2f}" not in shown.out  # one epoch is not the paper's training
    monkeypatch.setitem(RECIPES, "ras", RECIPES["ras"].with_epochs(1))
    assert f"{ras['test_accuracy'] - 94.47:+.2f}" in search(*arguments).out
    (parent,) = mlflow_runs("reproduce")
    assert parent.data.params["train_images"] == "170"  # the full training set


def test_a_backbone_of_the_users_keeps_the_options_of_the_papers_and_has_a_study_of_its_own(search: Search) -> None:
    eleven = reproduce(search, "dia-table8", "resnet11", "--rows", "ResNet83 orig", "--seeds", "1").json
    twenty = reproduce(search, "dia-table8", "resnet20", "--rows", "ResNet83 orig", "--seeds", "1").json

    assert [found["results"][0]["backbone"] for found in (eleven, twenty)] == ["resnet11+no_bn", "resnet20+no_bn"]
    assert eleven["studies"] != twenty["studies"]


def test_what_an_interrupted_command_left_running_costs_another_one_nothing(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("reproduce", "dia-table1", "--backbone", "resnet11", "--seeds", "1", *SMALL)
    polls = iter([False, True])
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.running.stopping.Stopping.__call__", lambda self: next(polls, True))
        patch.setattr(Training, "done", property(lambda self: False))
        assert search(*arguments, "--rows", "SE").code == 3
    (org,) = search(*arguments, "--rows", "Org").json["results"]
    assert (org["row"], org["n"]) == ("Org", 1)


def test_what_failed_for_a_reason_that_is_gone_is_trained_by_the_next_command(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Training) -> dict[str, float]:
        raise OSError("disk quota exceeded")

    arguments = ("reproduce", "dia-table1", "--backbone", "resnet20", "--seeds", "2", *SMALL)
    with monkeypatch.context() as patch:
        patch.setattr(Training, "step", fail)
        failed = search(*arguments)
    assert failed.code == 1
    assert "the same command goes on" not in failed.err
    again = search(*arguments)
    assert again.code == 0
    assert [(result["n"], result["failed"]) for result in again.json["results"]] == [(2, 0)] * 3


def test_rows_of_a_data_set_of_the_paper_are_those_of_the_paper() -> None:
    what = experiment("ras-table1")
    on = _on(what.rows, "stl10")
    assert {row.dataset for row in on} == {"stl10"}
    assert all(_moved(row, Changes(dataset="stl10", backbone=row.backbone)) == row for row in on)


def test_a_name_is_one_row_and_words_are_all_rows_that_have_them() -> None:
    what = experiment("dia-table1")
    assert [row.name for row in what.of(["se"])] == ["SE"]
    assert [row.name for row in what.of(["SE", "org"])] == ["Org", "SE"]
    assert len(experiment("ras-table1").of(["CIFAR10"])) == 14
    assert what.of([]) == list(what.rows)
    assert what.of(["vgg"]) == []


def test_nan_is_a_result_and_no_failure(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(self: Training) -> dict[str, float]:
        raise FloatingPointError("train_loss is nan in epoch 1")

    monkeypatch.setattr(Training, "step", explode)
    ended = reproduce(search, "dia-table1", "resnet11", "--seeds", "2")
    assert all((result["n"], result["nan"], result["failed"]) == (0, 2, 0) for result in by_row(ended).values())
    arguments = [argument for argument in SMALL if argument != "--json"]
    assert "2 nan" in search("reproduce", "dia-table1", "--backbone", "resnet11", "--seeds", "2", *arguments).out


def test_any_other_failure_is_one(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Training) -> dict[str, float]:
        raise RuntimeError("broken")

    monkeypatch.setattr(Training, "step", fail)
    ended = search("reproduce", "dia-table1", "--rows", "org", "--backbone", "resnet11", "--seeds", "1", *SMALL)
    assert ended.code == 1
    assert ended.json["results"][0]["failed"] == 1


def test_without_augmentation_the_images_stay_as_they_are(search: Search) -> None:
    reproduce(search, "dia-table9", "resnet11", "--rows", "SENet", "--seeds", "1")
    (parent,) = mlflow_runs("reproduce")
    assert parent.data.params["recipe.crop_padding"] == "0"
    assert parent.data.params["recipe.flip"] == "False"


def test_stopped_it_says_how_to_go_on(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.running.stopping.Stopping.__call__", lambda self: True)
    stopped = search("reproduce", "dia-table1", "--backbone", "resnet11", "--seeds", "1", *SMALL)
    assert stopped.code == 3
    assert "the same command goes on" in stopped.err


def test_rows_that_are_one_network_on_another_backbone_are_said_to_be(search: Search) -> None:
    ended = reproduce(search, "dia-table1", "resnet11", "--seeds", "1")  # one block a stage: nothing to share
    assert list(by_row(ended)) == ["Org", "SE"]
    assert "DIA-SE is the same network as SE" in ended.err


def test_a_study_is_named_by_all_that_its_results_depend_on_but_rows_and_seeds(
    tmp_path: Path, registries: None
) -> None:
    rows = experiment("dia-table1").rows

    def name(*, plugin: str = "", depth: int = 11, backbone: str = "", wanted: int = 3, **changes: Any) -> str:
        (tmp_path / "net.py").write_text("from layers import make")
        layers = f"from space.backbones import backbone\nmake = backbone('resnet{depth}').make"
        (tmp_path / "layers.py").write_text(layers)
        asked = Changes(dataset="digits", backbone=backbone or f"{tmp_path}/net.py:make", **changes)
        (group,) = grouped(rows, rows[:wanted], asked, RunOptions(data_root=tmp_path, cache=tmp_path / "cache"), False)
        return group.study_name(
            "it", "cpu", [UserCode("it", tmp_path, "it.py", (("it.py", plugin.encode()),))] if plugin else []
        )

    one = name()
    assert one == name(wanted=1)
    assert one.startswith("reproduce/it/digits-digits-net-py-make-")
    others: list[dict[str, Any]] = [{"plugin": "1"}, {"plugin": "2"}, {"depth": 20}, {"train_size": 50}, {"epochs": 3}]
    others += [{"backbone": "resnet11"}, {"backbone": "resnet11+no_bn"}]
    assert len({one, *(name(**other) for other in others)}) == 1 + len(others)


def test_copies_in_two_splits_are_refused_as_elsewhere(tmp_path: Path) -> None:
    write_folder(tmp_path / "images" / "train")
    shutil.copytree(tmp_path / "images" / "train", tmp_path / "images" / "test")
    rows = experiment("dia-table1").rows
    asked = Changes(dataset=f"folder:{tmp_path / 'images'}", backbone="resnet11")
    with pytest.raises(UserError, match="one image in two splits"):
        grouped(rows, rows[:1], asked, RunOptions(cache=tmp_path / "cache"), False)


def test_results_of_two_rows_have_two_names_in_metrics_and_pictures() -> None:
    for what in experiments().values():
        names = [row.name for row in what.rows]
        assert len({metric_name(name) for name in names}) == len({file_name(name) for name in names}) == len(names)


ANALYSES = [
    ("dia-figure5", "resnet20", "integration", 1, ["stage 1", "stage 2", "stage 3"]),
    ("dia-figure6", "resnet11+no_skip", "gradients", 2, ["before training", "after training"]),
]


@pytest.mark.parametrize(("name", "backbone", "analysis", "pictures", "keys"), ANALYSES)
def test_an_analysis_leaves_pictures_and_numbers_on_disk_and_in_mlflow(
    search: Search,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    backbone: str,
    analysis: str,
    pictures: int,
    keys: list[str],
) -> None:
    monkeypatch.setattr("pipelines.papers.analyses.BATCH", 16)
    ended = reproduce(search, name, backbone, "--seeds", "1")
    (study,) = ended.json["studies"]
    folder = here / "runs" / study / analysis
    found = ended.json["analyses"][study]

    innermost = found if analysis == "gradients" else next(iter(found.values()))["0"]
    assert list(innermost) == keys
    assert len(list(folder.glob("*.png"))) == pictures
    for picture in folder.glob("*.png"):
        with Image.open(picture) as image:
            assert min(image.size) > 100
    (parent,) = mlflow_runs("reproduce")
    logged = {entry.path for entry in MlflowClient().list_artifacts(parent.info.run_id, analysis)}
    assert logged == {f"{analysis}/{path.name}" for path in folder.iterdir()}


def test_backbones_are_listed_with_an_example_that_exists(search: Search) -> None:
    found = search("backbones", "--json").json
    assert {entry["example"] for entry in found} >= {"wrn52-4", "resnext101-8x32", "imagenet/resnet50"}
    assert {entry["example"]: entry["num_params"] for entry in found}["imagenet/resnet50"] == 25557032
    shown = search("backbones").out
    assert all(word in shown for word in ("preresnetDEPTH", "+conv_bias", "+no_bn", "+no_skip"))


def test_a_family_of_a_plugin_is_listed_once(search: Search, here: Path, registries: None) -> None:
    (here / "mine.py").write_text(
        "from space.backbones import BACKBONES, backbone\n"
        "from space.backbones.registry import declared\n"
        "@declared('mineDEPTH', numbers='DEPTH 11', example='mine11')\n"
        "def mine(variant, depth): return backbone(f'resnet{depth}')\n"
        "@BACKBONES.register('single')\n"
        "def single(): return backbone('resnet11').make(10, 3)\n"
    )
    lines = search("backbones", "--plugin", "mine.py").out.splitlines()
    assert sum("mineDEPTH" in line for line in lines) == sum("single" in line for line in lines) == 1
