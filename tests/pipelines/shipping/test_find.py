"""RUN finds the network that is meant."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from pipelines import cli
from pipelines.shipping.find import ASKED, find
from pipelines.tracking.runs import run_ids
from search.journal import JOURNAL
from search.proposers import Planned
from search.storage import Storage
from space import Design, UserError
from tests.pipelines.conftest import TINY, Search
from tests.pipelines.shipping.conftest import write
from trainers.evaluator import design_folder
from trainers.measuring import timing


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, empty_tracking: Path) -> Path:
    """A folder with a search, and below it a retraining of plain, ras and se, two seeds each."""
    root = tmp_path_factory.mktemp("study")
    (root / "tiny.toml").write_text(TINY)
    shutil.copy(empty_tracking, root / "mlflow.db")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(root)
        patched.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlflow.db'}")
        patched.setattr(timing, "SHORTEST", 0.0)
        patched.setattr(timing, "ROUNDS", 1)
        quick = ("--epochs", "1", "--engine", "local", "--json")
        for arguments in (
            ("launch", "--study", "it", "--space", "tiny.toml", "--backbone", "resnet11", "--budget", "1", *quick),
            ("retrain", "it", "--design", "se", "--design", "ras", "--seeds", "2", *quick),
        ):
            patched.setattr(sys, "argv", ["search", *arguments])
            with pytest.raises(SystemExit) as ended:
                cli.main()
            assert not ended.value.code
    return root


def found(root: Path, run: str, design: str | None = None) -> str:
    """The folder and file that RUN means, from below the storage's folder."""
    return find(run, design, Storage(str(root / "runs"))).weights.relative_to(root / "runs").as_posix()


def test_a_run_is_a_folder_or_a_name_of_a_retraining_or_of_its_study(study: Path) -> None:
    (retraining,) = (study / "runs" / "it").glob("retrain-*")
    name = f"it/{retraining.name}"
    for run in ("it", name, str(retraining), str(retraining.parent), str(retraining / "resnet11-se")):
        assert found(study, run) == f"{name}/resnet11-se/model.safetensors"
        assert found(study, run, "se:stages=123") == f"{name}/resnet11-se/model.safetensors"
    assert found(study, "it", "none") == f"{name}/resnet11-none/model.safetensors"
    assert found(study, "it", "ras") == f"{name}/resnet11-ras/model.safetensors"
    with pytest.raises(UserError, match="--design eca is not there; there is: none; ras; se"):
        found(study, "it", "eca")
    with pytest.raises(UserError, match="there is: ras"):
        found(study, str(retraining / "resnet11-ras"), "se")


def test_a_run_is_the_mlflow_id_of_a_training(study: Path) -> None:
    (retraining,) = (study / "runs" / "it").glob("retrain-*")
    record = Storage(str(study / "runs")).read(f"it/{retraining.name}")
    of = run_ids(record.attributes)
    assert len(of) == 6
    for trial in record.trials:
        file = "model.safetensors" if trial.job.seed == 0 else "model-seed1.safetensors"
        expected = f"it/{retraining.name}/{design_folder(*trial.job.candidate)}/{file}"
        assert found(study, of[trial.number]) == expected


def test_the_id_of_a_search_trial_is_told_how_to_get_weights(study: Path) -> None:
    (run,) = run_ids(Storage(str(study / "runs")).read("it").attributes).values()
    with pytest.raises(UserError, match="keeps no weights; retrain it first: search retrain it --design 'none'"):
        found(study, run)
    with pytest.raises(UserError, match=f"no training .* has the MLflow id {'0' * 32}"):
        found(study, "0" * 32)


def test_the_retraining_written_last_is_that_of_its_study(study: Path) -> None:
    last = study / "runs" / "it" / "retrain-000000"
    write(last / "resnet11-eca", "resnet11", "eca")
    assert found(study, "it") == "it/retrain-000000/resnet11-eca/model.safetensors"
    os.utime(last / "resnet11-eca" / "design.json", ns=(0, 0))
    assert found(study, "it").endswith("resnet11-se/model.safetensors")
    shutil.rmtree(last)


@contextlib.contextmanager
def retraining(root: Path, uid: str) -> Iterator[optuna.Study]:
    """A retraining it/retrain-1, being written, without trials."""
    with Storage(str(root)).writing("it/retrain-1", Planned.DIRECTIONS, {"uid": uid}) as made:
        yield made


def test_what_an_earlier_study_of_the_same_name_left_is_not_taken(tmp_path: Path) -> None:
    storage, folder = Storage(str(tmp_path)), tmp_path / "it" / "retrain-1"
    write(folder / "resnet11-se", "resnet11", "se", study="before")
    with retraining(tmp_path, "now"):
        pass
    with pytest.raises(UserError, match="is from before it/retrain-1 was started anew"):
        find(str(folder), None, storage)
    write(folder / "resnet11-ras", "resnet11", "ras", study="now")
    assert find(str(folder), None, storage).design == Design("ras")
    with pytest.raises(UserError, match="--design se is not there; there is: ras"):
        find(str(folder), "se", storage)


def test_without_a_design_the_first_asked_for_last_is_meant(tmp_path: Path) -> None:
    storage, folder = Storage(str(tmp_path)), tmp_path / "it" / "retrain-1"
    for design in ("none", "se", "ras", "eca"):
        write(folder / f"resnet11-{design}", "resnet11", design, study="now")
    for asked in (["none", "se", "ras"], ["none", "eca"], ["none"]):
        with retraining(tmp_path, "now") as made:
            made.set_user_attr(ASKED, [["resnet11", design] for design in asked])
        first = asked[1] if len(asked) > 1 else "eca"
        assert str(find(str(folder), None, storage).design) == first


def test_a_study_that_was_only_begun_hides_no_run(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / JOURNAL).touch()
    assert storage.names() == ["begun"]
    with pytest.raises(UserError, match=f"no training of a study in .* has the MLflow id {'0' * 32}"):
        find("0" * 32, None, storage)


def test_designs_without_their_study_are_told_apart_by_the_user(study: Path, tmp_path: Path) -> None:
    (retraining,) = (study / "runs" / "it").glob("retrain-*")
    for design in ("none", "ras", "se"):
        shutil.copytree(retraining / f"resnet11-{design}", tmp_path / "moved" / design)
    storage = Storage(str(tmp_path))
    with pytest.raises(UserError, match="several designs; say which by --design: none; ras; se"):
        find(str(tmp_path / "moved"), None, storage)
    assert find(str(tmp_path / "moved"), "ras", storage).design == Design("ras")
    shutil.rmtree(tmp_path / "moved" / "ras")
    assert find(str(tmp_path / "moved"), None, storage).design == Design("se")
    shutil.rmtree(tmp_path / "moved" / "se")
    assert find(str(tmp_path / "moved"), None, storage).design == Design()


def test_with_pretrained_weights_a_design_is_found_as_it_was_typed(tmp_path: Path) -> None:
    write(tmp_path / "it" / "a", "resnet11", "se:start=unit")
    write(tmp_path / "it" / "b", "resnet11", "none")
    assert find(str(tmp_path / "it"), "se", Storage(str(tmp_path))).design == Design("se", start="unit")
    write(tmp_path / "it" / "c", "resnet11", "se")
    assert find(str(tmp_path / "it"), "se", Storage(str(tmp_path))).design == Design("se")


def test_a_design_in_two_backbones_is_told_apart_by_the_user(tmp_path: Path) -> None:
    write(tmp_path / "it" / "a", "resnet11", "se")
    write(tmp_path / "it" / "b", "preresnet11", "se")
    with pytest.raises(UserError, match=r"several backbones; name a folder instead: .*a or .*b"):
        find(str(tmp_path / "it"), "se", Storage(str(tmp_path)))


def test_what_is_not_there_is_told_with_what_is(search: Search, study: Path, here: Path) -> None:
    ended = search("export", "nosuch")
    assert ended.code == 2
    assert "no study in" in ended.err
    assert "`search launch` and `search retrain`" in ended.err
    with pytest.raises(UserError, match="no weights 'nosuch'; there are it/retrain-"):
        found(study, "nosuch")
    shutil.copytree(study / "runs" / "it", here / "runs" / "it", ignore=shutil.ignore_patterns("retrain-*"))
    assert "no retraining of it is complete yet; search retrain it" in search("export", "it").err
    assert "nothing is retrained yet: search retrain it" in search("export", "nosuch").err
    assert not (here / "export").exists()
