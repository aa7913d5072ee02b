"""What MLflow is told to show: descriptions, links and views, without a server."""

import json
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from rich.table import Table

from pipelines.tracking import pages
from pipelines.tracking.markdown import MOST_ROWS, markdown
from pipelines.tracking.runs import where_to_look

LINKS = {"front: params": "#/there", "all trials": "#/list"}


def test_a_description_begins_with_its_links_since_only_its_first_line_can_be_clicked() -> None:
    note = pages.run_note(["the verdict", "a table"], LINKS, "")

    first, *rest = note.split("\n\n")
    assert first == "[front: params](#/there) · [all trials](#/list)"
    assert rest[:2] == ["the verdict", "a table"]


@pytest.mark.parametrize("words", ["\nmine", "\n\n**mine**, with\n\nparagraphs"])
def test_what_a_user_writes_below_the_line_outlives_every_rewriting(words: str) -> None:
    before = pages.run_note(["old"], LINKS, "") + words
    once = pages.run_note(["new"], LINKS, before)

    assert once.endswith(words)
    assert "old" not in once
    assert pages.run_note(["new"], LINKS, once) == once


def test_a_description_that_a_user_wrote_before_ours_is_kept() -> None:
    assert pages.run_note(["ours"], LINKS, "my own words").endswith("my own words")


def test_a_description_is_no_longer_than_mlflow_takes_and_the_users_part_is_whole() -> None:
    words = "mine " * 500
    note = pages.run_note(["x" * 20_000], LINKS, pages.KEPT + words)

    assert len(note) == pages.LONGEST
    assert note.endswith(words)


@pytest.mark.parametrize(
    ("store", "begins"),
    [
        ("https://ada:secret@host/ml/", "https://host/ml/#/experiments/7/runs/r?"),
        ("postgresql://ada:secret@host/db", "mlflow ui --backend-store-uri 'postgresql://ada:***@host/db', then http"),
        ("sqlite:////elsewhere/mlflow.db", "mlflow ui --backend-store-uri sqlite:////elsewhere/mlflow.db, then http"),
        (f"sqlite:///{Path('mlflow.db').resolve()}", "mlflow ui, then http://127.0.0.1:5000/#/experiments/7/runs/r?"),
    ],
)
def test_where_to_look_is_an_address_without_passwords(
    store: str, begins: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = SimpleNamespace(info=SimpleNamespace(experiment_id="7"))
    client = SimpleNamespace(tracking_uri=store, get_run=lambda run_id: run)
    monkeypatch.setattr("mlflow.MlflowClient", lambda tracking_uri: client)

    told = where_to_look("r", store)
    assert told.startswith(begins)
    assert "secret" not in told


def test_every_address_opens_model_training_rather_than_traces() -> None:
    addresses = [pages.run_page("1", "r"), pages.artifact_page("1", "r", "a b/c.html"), pages.view_page("1", "k")]
    for address in addresses:
        route = urlsplit(address.removeprefix("#"))
        assert route.path.startswith("/experiments/1/runs")
        assert parse_qs(route.query)["workflowType"] == ["machine_learning"]


def test_views_show_the_figures_and_list_the_best_trial_first() -> None:
    columns = ("accuracy", "gain", "num_params", "fps")
    named = json.loads(pages.results_view(columns))
    trials = json.loads(pages.trials_view("r", columns))

    shown = ["metrics.`accuracy`", "metrics.`gain`", "metrics.`num_params`", "metrics.`fps`"]
    assert json.loads(named["state"])["selectedColumns"] == trials["selectedColumns"] == shown
    assert named["name"] == "accuracy, gain, num params, fps"
    assert (trials["orderByKey"], trials["orderByAsc"]) == (shown[0], False)
    assert "'r'" in trials["searchFilter"]


def test_a_table_in_markdown_has_the_cells_of_the_terminals_and_says_what_it_leaves_out() -> None:
    table = Table(title="a title")
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("design")
    for row in range(MOST_ROWS + 3):
        table.add_row(f"{row} %", "own_net|x" if row == 0 else "se")
    lines = markdown(table).replace("&emsp;", "").replace("&nbsp;", " ").splitlines()

    assert lines[0] == "**a title**"
    assert lines[2:5] == ["| score | design |", "|--:|:--|", r"| 0 % | own\_net\|x |"]
    assert len([line for line in lines if line.startswith("|")]) == 2 + MOST_ROWS
    assert lines[-1] == "and 3 more"
