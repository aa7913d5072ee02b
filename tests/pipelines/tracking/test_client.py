"""Where runs are kept in a file, that is there whole or not at all."""

from pathlib import Path

import mlflow
import pytest

from pipelines.tracking.client import client_of


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "mlflow.db"


def test_a_database_is_made_whole_or_not_at_all(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"sqlite:///{database}"

    def cut_off(tracking_uri: str) -> None:
        Path(tracking_uri.removeprefix("sqlite:///")).write_text("half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mlflow, "MlflowClient", cut_off)
        with pytest.raises(KeyboardInterrupt):
            client_of(uri)
    assert list(database.parent.iterdir()) == []
    client_of(uri).create_experiment("there")
    assert [path.name for path in database.parent.iterdir()] == ["mlflow.db"]
    assert client_of(uri).get_experiment_by_name("there") is not None


def test_what_another_process_has_made_meanwhile_is_left(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = client_of(f"sqlite:///{database.with_name('other.db')}")
    other.create_experiment("of another process")
    make = mlflow.MlflowClient

    def overtaken(tracking_uri: str) -> mlflow.MlflowClient:
        if tracking_uri.endswith(".partial"):
            database.write_bytes(database.with_name("other.db").read_bytes())
        return make(tracking_uri=tracking_uri)

    monkeypatch.setattr(mlflow, "MlflowClient", overtaken)
    assert client_of(f"sqlite:///{database}").get_experiment_by_name("of another process") is not None
