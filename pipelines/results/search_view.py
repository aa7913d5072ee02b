"""What MLflow shows of a search: its fronts as pictures and tables, its progress, what each design came to."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pipelines.results import plots
from pipelines.results.fronts import front_rows, fronts_json, rows
from pipelines.results.glance import figure_names
from pipelines.results.importance import effects_json, write_effects
from pipelines.results.tables import front_tables, front_verdict
from pipelines.settings.provenance import provenance
from pipelines.settings.study import Settings
from pipelines.tracking.markdown import code, markdown
from pipelines.tracking.view import View
from search.hypervolume import Bounds
from search.importance import effects
from search.trials import State, Trial


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
    space = {f"space.{attention}": options for attention, options in settings.space.items()}

    images = settings.images["val"]

    def metrics(trials: Sequence[Trial]) -> dict[str, float]:
        complete = rows(trials, {}, objectives, images)
        sizes = {f"front_{cost.name}": float(len(front_rows(complete, cost))) for cost in objectives.costs}
        best = front_rows(complete, objectives.costs[0])[0].figures() if complete else {}
        return {"hypervolume": bounds.hypervolume(trials), **sizes, **best}

    def figures(trials: Sequence[Trial]) -> dict[int, dict[str, float]]:
        of_design = {(row.backbone, row.design): row.figures() for row in rows(trials, {}, objectives, images)}
        complete = [trial for trial in trials if trial.state is State.COMPLETE]
        return {trial.number: of_design[trial.job.backbone, str(trial.job.design)] for trial in complete}

    def trial_tags(trials: Sequence[Trial]) -> dict[int, dict[str, str]]:
        complete = rows(trials, {}, objectives, images)
        there = {cost.name: {row.trial for row in front_rows(complete, cost)} for cost in objectives.costs}
        first = {(row.backbone, row.design): row.trial for row in complete}

        def tags(trial: Trial) -> dict[str, str]:
            whose = {"carried_over_from": trial.origin} if trial.origin else {}
            if trial.job.replicate:
                return {**whose, "replicate_of": str(first[trial.job.backbone, str(trial.job.design)])}
            return {
                **whose,
                **{f"on_front_{name}": str(trial.number in found).lower() for name, found in there.items()},
            }

        return {trial.number: tags(trial) for trial in trials}

    def describe(trials: Sequence[Trial]) -> list[str]:
        complete = rows(trials, {}, objectives, images)
        if not complete:
            return ["No design has trained to the end yet."]
        tables = [markdown(table) for table in front_tables(complete)]
        return [front_verdict(complete), *tables, code(*next_commands)]

    def write_artifacts(trials: Sequence[Trial], runs: Mapping[int, str], folder: Path) -> None:
        complete = rows(trials, runs, objectives, images)
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
        params={**settings.to_params(), "space_name": settings.space_name, **space},
        tags={"kind": "search", "study": name, "sampler": sampler, **provenance()},
        trial_name=lambda trial: f"{trial.number} {trial.job.design}",
        metrics=metrics,
        trial_tags=trial_tags,
        columns=figure_names(objectives),
        figures=figures,
        describe=describe,
        write_artifacts=write_artifacts,
        pages={f"front: {cost.name}": f"fronts/{cost.name}.html" for cost in objectives.costs},
    )
