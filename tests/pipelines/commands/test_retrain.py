import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import load_file, save_file

import space
from pipelines.commands.retrain import learnt_from
from pipelines.results.fronts import Row, front_rows, knee_row, top
from pipelines.settings.resolve import DATASET, default_recipe
from pipelines.shipping.design_json import write_design
from pipelines.shipping.find import find
from search.local_engine import LocalEngine
from search.storage import Storage
from space import Design, UserError
from space.backbones import backbone
from space.build import build
from space.identity import Identity
from tests.objectives import OBJECTIVES, PARAMS
from tests.pipelines.conftest import Search, mlflow_runs
from trainers.datasets import read_data
from trainers.evaluator import Evaluator, design_folder, weights_name
from trainers.recipe import RECIPES
from trainers.source import Source
from trainers.training import Training


def row(trial: int, accuracy: float, num_params: int, fps: float, p_better: float = 0.5) -> Row:
    return Row(
        trial=trial,
        backbone="resnet20",
        design="none" if trial == 0 else f"se:reduction={2**trial}",
        objectives=OBJECTIVES,
        score=accuracy,
        gain=0.0,
        costs={"num_params": num_params, "fps": fps},
        plain_costs=None,
        mlflow_run_id=None,
        plain=trial == 0,
        p_better=p_better,
    )


def test_top_takes_what_is_likeliest_better_then_what_gains_most_and_never_the_plain_backbone() -> None:
    plain = row(0, 0.90, 100, 1000)
    lucky, sure, surer = row(1, 0.96, 300, 800, 0.8), row(2, 0.92, 110, 990, 0.95), row(3, 0.94, 400, 700, 0.95)

    assert top([plain, lucky, sure, surer], 2) == [surer, sure]
    assert top([plain, lucky, sure, surer], 9) == [surer, sure, lucky]


def test_the_knee_is_on_the_params_front_and_bulges_most() -> None:
    rows = [row(0, 0.90, 100, 1000), row(1, 0.94, 120, 900), row(2, 0.95, 1000, 800), row(3, 0.92, 500, 700)]
    assert knee_row(rows) == rows[1]
    assert knee_row(rows) in front_rows(rows, PARAMS)


def test_retraining_trains_the_plain_backbone_too_and_reports_the_test_split(launch: Search, search: Search) -> None:
    launch("--budget", "3")
    arguments = ("retrain", "--design", "ras", "--seeds", "2", "--epochs", "1", "--engine", "local", "--json")
    result = search(*arguments).json

    assert [entry["design"] for entry in result["results"]] == ["none", "ras"]
    for entry in result["results"]:
        assert entry["n"] == 2
        assert 0 <= entry["test_accuracy"] <= 1
        assert entry["test_accuracy_std"] >= 0
    assert result["results"][0]["gain"] == 0

    (parent,) = mlflow_runs("retrain")
    children = [r for r in mlflow_runs() if r.data.tags["mlflow.parentRunId"] == parent.info.run_id]
    assert sorted((run.data.params["design"], run.data.params["seed"]) for run in children) == [
        *(("none", "0"), ("none", "1"), ("ras", "0"), ("ras", "1"))
    ]
    for run in children:
        assert run.info.status == "FINISHED"
        assert "test_accuracy" in run.data.metrics
        assert "val_accuracy" not in run.data.metrics


def test_the_written_weights_give_the_reported_accuracy(launch: Search, search: Search) -> None:
    launch("--budget", "1")
    result = search(
        *("retrain", "--design", "se:reduction=4", "--seeds", "1", "--epochs", "2", "--engine", "local", "--json")
    ).json

    folder = Path(result["folder"]) / "resnet20-se-reduction-4"
    described = json.loads((folder / "design.json").read_text())
    network = build(Design(**described["fields"]), backbone(described["backbone"]), 10, 1)
    network.load_state_dict(load_file(folder / "model.safetensors"))
    data = read_data(Source(name=DATASET))
    mean, std = torch.tensor(described["mean"]), torch.tensor(described["std"])
    ((images, labels),) = data.test.batches(torch.arange(len(data.test.labels)), 10_000)
    with torch.inference_mode():
        predicted = network.eval()((images / 255 - mean) / std).argmax(1)
    accuracy = float((predicted == labels).float().mean())
    assert accuracy == pytest.approx(described["test_accuracy"], abs=2 / len(labels))


def test_a_retraining_learns_from_validation_images_too_unless_they_are_more_than_the_search_learnt_from() -> None:
    assert learnt_from({"train": 200, "val": 798, "test": 799}) == "train"
    assert learnt_from({"train": 45_000, "val": 5_000, "test": 10_000}) == "train+val"


def test_on_other_images_it_is_another_retraining_and_says_which(launch: Search, search: Search) -> None:
    launch("--budget", "1", "--backbone", "resnet11")
    arguments = ("retrain", "--design", "se", "--seeds", "1", "--epochs", "1", "--engine", "local", "--json")
    found = {on: search(*arguments, *(("--on", on) if on else ())) for on in ("", "train", "train+val")}

    default, train, both = (ended.json for ended in found.values())
    assert default == train
    assert train["retraining"] != both["retraining"]
    sizes = read_data(Source(name=DATASET)).sizes()
    assert f"on train ({sizes['train']:,} images)" in found["train"].err
    assert f"on train+val ({sizes['train'] + sizes['val']:,} images)" in found["train+val"].err
    for on, result in (("train", train), ("train+val", both)):
        assert result["on"] == on
        written = json.loads((Path(result["folder"]) / "results.json").read_text())
        assert {entry["trained_on"] for entry in written} == {on}
    assert both["results"][0]["test_accuracy"] != train["results"][0]["test_accuracy"]
    assert {run.data.params["on"] for run in mlflow_runs("retrain")} == {"train", "train+val"}

    assert search(*arguments, "--on", "test").code == 2


def test_other_designs_and_more_seeds_extend_a_retraining_and_each_model_is_logged_once(
    launch: Search, search: Search
) -> None:
    launch("--budget", "1", "--backbone", "resnet11")
    client = MlflowClient()

    def retrained(seeds: int, *designs: str) -> dict[str, Any]:
        chosen = [part for design in designs for part in ("--design", design)]
        options = ("--seeds", str(seeds), "--epochs", "1", "--engine", "local", "--register", "best", "--json")
        result: dict[str, Any] = search("retrain", *chosen, *options).json
        return result

    def registered() -> list[str]:
        versions = client.search_model_versions("name='best'", order_by=["version_number ASC"])
        return [client.get_run(str(version.run_id)).data.params["design"] for version in versions]

    first = retrained(1, "se")
    more = retrained(2, "ras", "se")
    assert more["retraining"] == first["retraining"]
    assert [result["design"] for result in more["results"]] == ["none", "ras", "se"]
    assert more["results"][2]["by_seed"]["0"] == first["results"][1]["by_seed"]["0"]
    assert registered() == ["se", "ras"]
    assert find(first["study"], None, Storage("runs")).design == Design("ras")

    again = retrained(1, "se")
    assert again == first
    assert registered() == ["se", "ras"]
    assert find(first["study"], None, Storage("runs")).design == Design("se")
    (parent,) = mlflow_runs("retrain")
    trained = [run for run in mlflow_runs() if "test_accuracy" in run.data.metrics]
    assert sorted(run.data.params["design"] for run in trained) == ["none", "none", "ras", "ras", "se", "se"]
    local = Path(first["folder"]) / "results.json"
    logged = Path(client.download_artifacts(parent.info.run_id, "")) / "results.json"
    assert json.loads(local.read_text()) == json.loads(logged.read_text())
    shown = {result["design"]: result["n"] for result in json.loads(local.read_text())}
    assert shown == {"none": 2, "se": 2, "ras": 2}
    for picture in (local.with_name("comparison.png"), logged.with_name("comparison.png")):
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_results_are_shown_where_the_weights_are_gone_and_nothing_is_measured_again(
    launch: Search, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("all is measured")

    launch("--budget", "1", "--backbone", "resnet11")
    arguments = ("retrain", "--design", "se", "--seeds", "1", "--epochs", "1", "--engine", "local", "--json")
    first = search(*arguments)
    weights = Path(first.json["folder"]) / "resnet11-se" / "model.safetensors"
    weights.unlink()
    monkeypatch.setattr(LocalEngine, "alone", refuse)
    again = search(*arguments, "--register", "best")
    assert again.code == 0
    assert again.json == first.json
    assert f"warning: {weights} does not hold what this study trained" in again.err


def test_the_data_of_a_retraining_is_found_from_any_folder(
    launch: Search, search: Search, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch("--budget", "1", "--backbone", "resnet11")
    made: list[Evaluator] = []

    def make(evaluator: Evaluator, *arguments: object) -> NoReturn:
        made.append(evaluator)
        raise UserError("seen")

    monkeypatch.setattr(Evaluator, "__call__", make)
    quick = ("retrain", "--design", "se", "--seeds", "1", "--engine", "local", "--storage", str(here / "runs"))
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    search(*quick)
    search(*quick, "--data-root", "images", "--epochs", "2")
    assert {(evaluator.source.root, evaluator.recipe) for evaluator in made} == {
        (here / "data", RECIPES[default_recipe(DATASET)].with_epochs(1)),
        (here / "elsewhere" / "images", RECIPES[default_recipe(DATASET)].with_epochs(2)),
    }


def test_a_retraining_goes_on_with_the_code_that_was_searched(launch: Search, search: Search, here: Path) -> None:
    (here / "net.py").write_text("from layers import make")
    (here / "layers.py").write_text("from space.backbones import backbone\nmake = backbone('resnet11').make")
    launch("--budget", "1", "--backbone", "net.py:make")
    (here / "layers.py").write_text("from space.backbones import backbone\nmake = backbone('resnet20').make")
    ended = search("retrain", "--design", "se")
    assert ended.code == 2
    assert f"another content of {here / 'layers.py'}" in ended.err


def test_a_description_is_written_beside_the_weights_of_this_study_alone(tmp_path: Path) -> None:
    source, whose = Source(name="digits"), Identity(study="before", backbone="resnet11", design="se", seed=0)
    folder = tmp_path / design_folder("resnet11", Design("se"))
    folder.mkdir()
    save_file({}, folder / weights_name(0), whose.metadata())
    result = {"backbone": "resnet11", "design": "se"}
    write_design(result, tmp_path, read_data(source), source, RECIPES["digits"], "now")
    assert [path.name for path in folder.iterdir()] == [weights_name(0)]
    save_file({}, folder / weights_name(1), replace(whose, study="now", seed=1).metadata())
    write_design(result, tmp_path, read_data(source), source, RECIPES["digits"], "now")
    with pytest.raises(UserError, match="is not of the training"):
        space.load(folder)


def test_the_logged_model_gives_the_networks_outputs(launch: Search, search: Search) -> None:
    import mlflow.pytorch

    launch("--budget", "1")
    result = search(
        *(
            "retrain",
            "--design",
            "ras",
            "--seeds",
            "1",
            "--epochs",
            "1",
            "--engine",
            "local",
            "--register",
            "best",
            "--json",
        )
    ).json
    network = build(Design("ras"), backbone("resnet20"), 10, 1)
    network.load_state_dict(load_file(Path(result["folder"]) / "resnet20-ras" / "model.safetensors"))
    logged = mlflow.pytorch.load_model("models:/best/1")

    images = torch.randn(3, 1, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(logged(images), network.eval()(images))


def test_a_training_that_fails_makes_the_retraining_fail(
    launch: Search, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch("--budget", "1")

    train = Training.step
    trained: list[Training] = []

    def diverge(self: Training) -> dict[str, float]:
        if trained:
            raise FloatingPointError("train_loss is nan in epoch 1")
        trained.append(self)
        return train(self)

    monkeypatch.setattr(Training, "step", diverge)
    ended = search("retrain", "--design", "ras", "--seeds", "1", "--epochs", "1", "--engine", "local", "--json")
    assert ended.code == 1
    assert "1 of 2 trainings failed" in ended.err
    assert [result["design"] for result in ended.json["results"]] == ["none"]
