"""`search importance`, and what MLflow has of it."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.pipelines.conftest import Search, mlflow_runs

pytestmark = pytest.mark.long


def test_what_a_study_has_learnt_is_a_table_json_a_picture_and_artifacts(
    launch: Search, search: Search, here: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    launch("--budget", "6", "--sampler", "front")
    told = search("importance", "--json").json
    assert told["metric"] == "val_accuracy"
    assert {"se", "ras"} >= {effect["value"] for effect in told["effects"] if effect["field"] == "attention"}
    assert all(effect["low"] <= effect["mean"] <= effect["high"] for effect in told["effects"])

    table = search("importance").out
    for effect in told["effects"]:
        assert effect["field"] in table
        assert effect["value"] in table

    assert search("importance", "--png", "effects.png").code == 0
    assert (here / "effects.png").read_bytes().startswith(b"\x89PNG")
    (run,) = mlflow_runs("search")
    for name in ("importance.png", "importance.json"):
        assert Path(MlflowClient().download_artifacts(run.info.run_id, name, str(tmp_path_factory.mktemp("got"))))


def test_a_study_of_the_plain_network_alone_has_learnt_nothing(launch: Search, search: Search) -> None:
    launch("--budget", "1")
    ended = search("importance")
    assert ended.code == 2
    assert "has not trained two designs to the end yet" in ended.err
