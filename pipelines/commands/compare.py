"""`search compare`: designs against the plain network, each pair trained under the same seed on the same split."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.results.paired import (
    best_figures,
    every_result,
    explanation,
    paired_table,
    paired_verdict,
    summarise,
)
from pipelines.results.paired_files import PICTURE, write_paired
from pipelines.results.trainings_view import trainings_view
from pipelines.running.plan import Plan, trained
from pipelines.running.terms import Terms
from pipelines.running.trainings import engine_of, evaluator_of
from pipelines.settings.objectives import objectives_named
from pipelines.settings.options.compare import CompareOptions
from pipelines.settings.resolve import resolve
from pipelines.settings.study import Settings
from pipelines.terminal import exit_codes
from pipelines.terminal.console import print_json, say, stdout
from pipelines.tracking.markdown import markdown
from pipelines.tracking.runs import where_to_look
from pipelines.tracking.view import View
from search.storage import Storage
from search.trials import State, Trial
from space import Design, UserError
from space.choices import Candidate

STUDIES = "compare"
"""Folder of the studies, and kind of the runs in MLflow."""


def compare(options: CompareOptions) -> int:
    """Train the designs and the plain network, print which gain; returns the exit code.

    Raises:
        UserError: a mistake in the options; nothing has been written then.
    """
    run = options.run
    storage = Storage(run.storage)
    settings, source = resolve(options.task, run)
    settings = replace(settings, space={}, space_name="")
    plain = (settings.backbones[0], Design())
    if len(settings.backbones) > 1:
        raise UserError("compare takes one --backbone; run it once for each")
    candidates = list(dict.fromkeys([plain, *(settings.candidate(text) for text in options.designs)]))
    if len(candidates) == 1:
        raise UserError("only the plain network to compare; name a design such as se or ras")

    objectives = objectives_named(settings.objectives)
    name = f"{STUDIES}/{settings.study_name()}"
    plan = Plan(
        name=name,
        candidates=candidates,
        seeds=options.seeds,
        task=settings.task,
        evaluate=evaluator_of(settings, source, run),
        deployment=settings.deployment,
        objectives=objectives,
    )
    engine = engine_of(plan, settings, storage, run)
    with trained(
        plan,
        engine,
        storage,
        lambda uid, costs: _view(name, uid, settings, plain),
        terms=Terms.of(run),
        attributes={"settings": settings.to_json(), "data_root": str(source.root)},
    ) as done:
        ended = done.session
        results = summarise(done.trials, candidates, objectives)
        failed = [trial for trial in done.trials if trial.state is State.FAILED]
        _write(every_result(done.ledger.trials, plain, objectives), settings, storage.folder(name))
    if run.json:
        print_json({"study": name, "metric": objectives.metric, "results": results})
    elif results:
        stdout.print(paired_table(results, objectives, _title(settings), "val"))
        stdout.print(explanation(results), soft_wrap=True)
    if ended.exit_code != exit_codes.COMPLETE:
        say(ended.why)
        return ended.exit_code
    if failed:
        say(f"search: {len(failed)} of {len(candidates) * options.seeds} trainings failed")
        return exit_codes.FAILED
    say(f" look    {storage.folder(name) / PICTURE}")
    if ended.mlflow_run is not None:
        say(f"         {where_to_look(ended.mlflow_run, run.tracking_uri)}")
    say(f" surer   the same command with --seeds {2 * options.seeds}")
    return exit_codes.COMPLETE


def _write(results: Sequence[Mapping[str, Any]], settings: Settings, folder: Path) -> None:
    title = f"against plain {settings.backbones[0]} on {Path(settings.dataset).name}"
    write_paired(results, objectives_named(settings.objectives), title, folder)


def _view(name: str, uid: str, settings: Settings, plain: Candidate) -> View:
    """What MLflow shows of a comparison."""
    objectives = objectives_named(settings.objectives)

    def results(trials: Sequence[Trial]) -> list[dict[str, Any]]:
        return every_result(trials, plain, objectives)

    def metrics(trials: Sequence[Trial]) -> dict[str, float]:
        there = results(trials)
        differences = {
            f"difference/{Design.parse(result['design']).dashed}": result["paired_difference"]["mean"]
            for result in there
            if result["paired_difference"] is not None
        }
        return {**differences, **best_figures(there, objectives)}

    def describe(trials: Sequence[Trial]) -> list[str]:
        there = results(trials)
        table = markdown(paired_table(there, objectives, _title(settings), "val"))
        return [paired_verdict(there), table, explanation(there)]

    return trainings_view(
        kind=STUDIES,
        study=name,
        uid=uid,
        params=settings.to_params(),
        objectives=objectives,
        plain=plain,
        metrics=metrics,
        describe=describe,
        write=lambda trials, folder: _write(results(trials), settings, folder),
        pages={"picture": PICTURE},
    )


def _title(settings: Settings) -> str:
    return f"paired with plain {settings.backbones[0]} by seed"
