"""What MLflow's pages are told to show: descriptions in Markdown, views of lists of runs, and where the pages are.

MLflow opens an experiment on traces of language models unless an address says otherwise, and lists runs without any of
their metrics unless a view that is kept with the experiment says otherwise. So results are reached by addresses.
"""

import json
import time
from collections.abc import Mapping, Sequence
from urllib.parse import quote

NOTE = "mlflow.note.content"
"""Tag of a run and of an experiment: its description."""
VIEW = "mlflow.sharedViewState."
"""With a key behind it: the tag of an experiment that holds a view."""
LONGEST = 8000
"""Characters that a tag of a run may have."""
KEPT = "\n\n---\n*Written by `search`. What you write below this line stays.*"
_TRAINING = "workflowType=machine_learning"


def run_page(experiment: str, run: str) -> str:
    """Address of a run's page, behind that of the server."""
    return f"#/experiments/{experiment}/runs/{run}?{_TRAINING}"


def artifact_page(experiment: str, run: str, path: str) -> str:
    """Address of the page that shows an artifact of a run."""
    return f"#/experiments/{experiment}/runs/{run}/artifacts/{quote(path)}?{_TRAINING}"


def view_page(experiment: str, key: str) -> str:
    """Address of a list of runs."""
    return f"#/experiments/{experiment}/runs?viewStateShareKey={key}&{_TRAINING}"


def results_key(columns: Sequence[str]) -> str:
    """Key of the view of all results that have these metrics."""
    return f"results-{'-'.join(columns)}"


def results_view(columns: Sequence[str]) -> str:
    """A view of all runs with these metrics; MLflow offers it in its menu of views."""
    name = ", ".join(column.replace("_", " ") for column in columns)
    state = json.dumps({"selectedColumns": _columns(columns)})
    return json.dumps({"name": name, "createdAt": int(time.time() * 1000), "state": state})


def trials_view(run: str, columns: Sequence[str]) -> str:
    """A view of the trials below a run, the best in the first column on top."""
    return json.dumps(
        {
            "searchFilter": f"tags.mlflow.parentRunId = '{run}'",
            "orderByKey": _columns(columns)[0],
            "orderByAsc": False,
            "selectedColumns": _columns(columns),
        }
    )


def experiment_note(experiment: str, columns: Sequence[str]) -> str:
    """How to look at the experiment; lists of experiments show its beginning as it is, so that is plain text."""
    return (
        f"Searches for attention: [all runs with their results]({view_page(experiment, results_key(columns))}).\n\n"
        "- A search, a comparison, a retraining or a reproduction is one run; its description says what came out and "
        "links its fronts and its list of trials. The trials are the runs below it.\n"
        "- Scores and gains are in percent, of the split that a run is judged by: validation in searches and "
        "comparisons, test in retrainings and reproductions.\n"
        "- Where MLflow shows traces instead of runs, choose *Model training* at the top left."
    )


def run_note(paragraphs: Sequence[str], links: Mapping[str, str], before: str) -> str:
    """The description of a study's run.

    Args:
        paragraphs: in Markdown, the first one being the verdict.
        links: addresses by their texts.
        before: the description so far; what a user wrote into it is kept.
    """
    # MLflow shows the beginning of a description, and of that only the first line can be clicked.
    linked = " · ".join(f"[{text}]({address})" for text, address in links.items())
    ours = "\n\n".join([linked, *paragraphs])
    theirs = before.partition(KEPT)[2] if KEPT in before else before and f"\n\n{before}"
    return ours[: max(0, LONGEST - len(KEPT) - len(theirs))] + KEPT + theirs


def _columns(metrics: Sequence[str]) -> list[str]:
    return [f"metrics.`{name}`" for name in metrics]
