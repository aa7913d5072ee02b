"""What MLflow shows of a search: its fronts as pictures and tables, its progress, what each design came to."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pipelines.results import plots
from pipelines.results.fronts import FRONTS, front, fronts_json, rows
from pipelines.results.tables import front_tables, front_verdict
from pipelines.settings.provenance import provenance
from pipelines.settings.study import Settings
from pipelines.terminal.formats import figure_names
from pipelines.tracking.markdown import code, markdown
from pipelines.tracking.view import View
from search.bounds import Bounds
from search.trials import Trial


def search_view(
    name: str, uid: str, settings: Settings, bounds: Bounds, sampler: str, next_commands: Iterable[str]
) -> View:
    """What MLflow shows of a search.

    Args:
        name: of the study.
        uid: of the study.
        settings: of the study.
        bounds: of its hypervolume.
        sampler: that the user named.
        next_commands: what to type when it is done.
    """
    table = settings.to_json()
    recipe = {f"recipe.{key}": value for key, value in table.pop("recipe").items()}
    space = {f"space.{attention}": options for attention, options in table.pop("space").items()}

    def metrics(trials: Sequence[Trial]) -> dict[str, float]:
        complete = rows(trials, {}, bounds.metric)
        sizes = {f"front_{front_name}": float(len(front(complete, front_name))) for front_name in FRONTS}
        best = front(complete, "params")[0].figures() if complete else {}
        return {"hypervolume": bounds.hypervolume(trials), **sizes, **best}

    def trial_tags(trials: Sequence[Trial]) -> dict[int, dict[str, str]]:
        complete = rows(trials, {}, bounds.metric)
        there = {name: {row.trial for row in front(complete, name)} for name in FRONTS}
        numbers = [trial.number for trial in trials]
        return {n: {f"on_front_{name}": str(n in there[name]).lower() for name in FRONTS} for n in numbers}

    def describe(trials: Sequence[Trial]) -> list[str]:
        complete = rows(trials, {}, bounds.metric)
        if not complete:
            return ["No design has trained to the end yet."]
        tables = [markdown(table) for table in front_tables(complete)]
        return [front_verdict(complete, settings.images["val"]), *tables, code(*next_commands)]

    def write_artifacts(trials: Sequence[Trial], runs: Mapping[int, str], folder: Path) -> None:
        complete = rows(trials, runs, bounds.metric)
        fronts = folder / "fronts"
        fronts.mkdir()
        (fronts / "front.json").write_text(json.dumps(fronts_json(complete), indent=2))
        if complete:
            for front_name in FRONTS:
                title = f"{settings.dataset}, {', '.join(settings.backbones)}: {len(complete)} designs"
                plots.write_html(complete, front_name, title, fronts / f"{front_name}.html")
                plots.write_png(complete, [front_name], title, fronts / f"{front_name}.png")

    return View(
        name=name,
        uid=uid,
        params={**table, **recipe, **space},
        tags={"kind": "search", "study": name, "sampler": sampler, **provenance()},
        trial_name=lambda trial: f"{trial.number} {trial.job.design}",
        metrics=metrics,
        trial_tags=trial_tags,
        columns=figure_names(bounds.metric),
        figures=lambda trials: {row.trial: row.figures() for row in rows(trials, {}, bounds.metric)},
        describe=describe,
        write_artifacts=write_artifacts,
        pages={f"front: {front_name}": f"fronts/{front_name}.html" for front_name in FRONTS},
    )
