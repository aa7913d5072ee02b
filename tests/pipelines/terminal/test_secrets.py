"""A password in a URL is shown nowhere."""

from pathlib import Path

import pytest

from pipelines.terminal.secrets import hidden
from tests.pipelines.conftest import Search

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("--storage postgresql://me:hunter2@host/db is away", "--storage postgresql://me:***@host/db is away"),
        ("mysql+pymysql://me:hun/t@e:r@host:3306/db", "mysql+pymysql://me:***@host:3306/db"),
        ("search front --storage 'x://:hunter2@host'", "search front --storage 'x://:***@host'"),
        (
            "--storage postgresql://me:hun'ter 2@host is no URL; %40 is an @",
            "--storage postgresql://me:***@host is no URL; %40 is an @",
        ),
        ("a://me:hunter2@one and b://me:hunter2@two", "a://me:***@one and b://me:***@two"),
        ("x://host/db?user=me&password=hunter2&ssl=1", "x://host/db?user=me&password=***&ssl=1"),
        ("http://me:hunter2@host:5000/api failed", "http://***@host:5000/api failed"),
        ("https://hunter2@host/?access_token=hunter2", "https://***@host/?access_token=***"),
        ("http://host:5000/a@b", "http://host:5000/a@b"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("sqlite:////srv/a.db: ask me@host", "sqlite:////srv/a.db: ask me@host"),
    ],
)
def test_a_secret_is_masked_and_nothing_else(text: str, shown: str) -> None:
    assert hidden(text) == shown


COMMANDS = (
    ("launch", "--space", "tiny.toml", "--epochs", "1", "--engine", "local", "--study", "mine", "--budget", "1"),
    ("compare", "se", "--epochs", "1", "--engine", "local"),
    ("status",),
    ("front",),
    ("retrain", "mine"),
    ("export", "mine"),
    ("predict", "mine", "picture.png"),
    ("reproduce", "dia-table8", "--dataset", "digits", "--rows", "ResNet83"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize(
    "url", ["nosuch://me:hunter2@host/db", "postgresql://me:a@b:hunter2@host/db"], ids=["unknown", "malformed"]
)
def test_a_storage_that_cannot_be_opened_is_named_without_its_password(
    search: Search, command: tuple[str, ...], url: str
) -> None:
    ended = search(*command, "--storage", url)
    assert ended.code == 2
    assert "--storage" in ended.err
    assert "me:***@host/db" in ended.err
    assert SECRET not in ended.out + ended.err


def test_a_search_shows_neither_the_password_of_its_database_nor_of_its_tracking_server(
    launch: Search, search: Search, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    storage = f"sqlite:///file:{here}/studies.db?uri=true&password={SECRET}"
    tracking = f"http://me:{SECRET}@127.0.0.1:1"
    ended = launch("--study", "mine", "--budget", "1", "--storage", storage, "--tracking-uri", tracking)
    others = [
        search(*command, "--storage", storage) for command in COMMANDS if command[0] in ("status", "front", "export")
    ]
    for command in (ended, *others):
        assert SECRET not in command.out + command.err
    assert ended.code == 0
    assert "warning: MLflow" in ended.err
    assert "***@127.0.0.1:1" in ended.err
    assert "search retrain mine" in ended.err
    assert "password=***" in ended.err
