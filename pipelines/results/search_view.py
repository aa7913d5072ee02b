"""What MLflow shows of a search: its fronts as pictures and tables, its progress, what each design came to."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pipelines.results import plots
from pipelines.results.fronts import front, fronts_json, rows
from pipelines.results.glance import figure_names
from pipelines.results.importance import effects_json, write_effects
from pipelines.results.tables import front_tables, front_verdict
from pipelines.settings.provenance import provenance
from pipelines.settings.study import Settings
from pipelines.tracking.markdown import code, markdown
from pipelines.tracking.view import View
from search.bounds import Bounds
from search.importance import effects
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
    objectives = bounds.objectives
    table = settings.to_json()
    recipe = {f"recipe.{key}": value for key, value in table.pop("recipe").items()}
    space = {f"space.{attention}": options for attention, options in table.pop("space").items()}

    def metrics(trials: Sequence[Trial]) -> dict[str, float]:
        complete = rows(trials, {}, objectives)
        sizes = {f"front_{cost.name}": float(len(front(complete, cost))) for cost in objectives.costs}
        best = front(complete, objectives.costs[0])[0].figures() if complete else {}
        return {"hypervolume": bounds.hypervolume(trials), **sizes, **best}

    def trial_tags(trials: Sequence[Trial]) -> dict[int, dict[str, str]]:
        complete = rows(trials, {}, objectives)
        there = {cost.name: {row.trial for row in front(complete, cost)} for cost in objectives.costs}
        numbers = [trial.number for trial in trials]
        return {n: {f"on_front_{name}": str(n in found).lower() for name, found in there.items()} for n in numbers}

    def describe(trials: Sequence[Trial]) -> list[str]:
        complete = rows(trials, {}, objectives)
        if not complete:
            return ["No design has trained to the end yet."]
        tables = [markdown(table) for table in front_tables(complete)]
        return [front_verdict(complete, settings.images["val"]), *tables, code(*next_commands)]

    def write_artifacts(trials: Sequence[Trial], runs: Mapping[int, str], folder: Path) -> None:
        complete = rows(trials, runs, objectives)
        fronts = folder / "fronts"
        fronts.mkdir()
        (fronts / "front.json").write_text(json.dumps(fronts_json(complete, objectives), indent=2))
        if complete:
            for cost in objectives.costs:
                title = f"{settings.dataset}, {', '.join(settings.backbones)}: {len(complete)} designs"
                plots.write_html(complete, cost, title, fronts / f"{cost.name}.html")
                plots.write_png(complete, [cost], title, fronts / f"{cost.name}.png")
        if found := effects(trials, objectives.metric):
            (folder / "importance.json").write_text(json.dumps(effects_json(found), indent=2))
            write_effects(found, objectives.metric, name, folder / "importance.png")

    return View(
        name=name,
        uid=uid,
        params={**table, **recipe, **space},
        tags={"kind": "search", "study": name, "sampler": sampler, **provenance()},
        trial_name=lambda trial: f"{trial.number} {trial.job.design}",
        metrics=metrics,
        trial_tags=trial_tags,
        columns=figure_names(objectives),
        figures=lambda trials: {row.trial: row.figures() for row in rows(trials, {}, objectives)},
        describe=describe,
        write_artifacts=write_artifacts,
        pages={f"front: {cost.name}": f"fronts/{cost.name}.html" for cost in objectives.costs},
    )
