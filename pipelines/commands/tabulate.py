"""`search tabulate`: every design of a space trained under several seeds, and their curves in one file.

A file that is there is extended: what it knows is not trained again.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product, repeat
from pathlib import Path

import numpy as np

from pipelines.results.paired import every_result, paired_verdict
from pipelines.results.trainings_view import trainings_view
from pipelines.running.plan import Plan, trained
from pipelines.running.terms import Terms
from pipelines.running.trainings import engine_of, evaluator_of
from pipelines.settings.objectives import objectives_named
from pipelines.settings.options.tabulate import TabulateOptions
from pipelines.settings.resolve import resolve
from pipelines.settings.study import Settings
from pipelines.terminal import exit_codes
from pipelines.terminal.console import print_json, say
from pipelines.tracking.runs import where_to_look
from pipelines.tracking.view import View
from search.storage import Storage
from search.table import Table
from search.trials import Trial
from space import Design, UserError
from space.files import absolute

STUDIES = "tabulate"
"""Folder of the studies, and kind of the runs in MLflow."""


def tabulate(options: TabulateOptions) -> int:
    """Train all designs of a space and write the table of their curves; returns the exit code.

    Raises:
        UserError: a mistake in the options; nothing has been written then.
    """
    run = options.run
    storage = Storage(run.storage)
    settings, source = resolve(options.task, run, space=options.space)
    if len(settings.backbones) > 1:
        raise UserError("tabulate takes one --backbone; run it once for each")
    if settings.metric != "accuracy":
        raise UserError(f"--metric {settings.metric}: a table has accuracies; leave that out")
    space = settings.search_space
    candidates = list(dict.fromkeys([space.plain(), *space.enumerate()]))
    backbone = settings.backbones[0]
    of_any_space = replace(settings, space={}, space_name="")
    name = f"{STUDIES}/{of_any_space.study_name()}"
    path = storage.folder(name) / "table.npz" if options.table is None else absolute(options.table)
    if path.is_dir():
        raise UserError(f"--table {options.table} is a folder; a file such as table.npz is wanted")
    # What is beside the study, the study has, too: made anew, it loses nothing.
    before = None if options.table is None else _before(path, settings, [design for _, design in candidates])
    seeds = options.seeds if before is None else max(options.seeds, before.seeds)
    known = () if before is None else set(product(zip(repeat(backbone), before.designs), range(before.seeds)))

    plan = Plan(
        name=name,
        candidates=candidates,
        seeds=seeds,
        task=settings.task,
        evaluate=evaluator_of(settings, source, run),
        deployment=settings.deployment,
        objectives=objectives_named(settings.objectives),
        known=known,
    )
    if before is not None and not plan.trainings:
        _tell(before, name, path, json=run.json)
        return exit_codes.COMPLETE
    engine = engine_of(plan, settings, storage, run)
    with trained(
        plan,
        engine,
        storage,
        lambda uid, costs: _view(name, uid, of_any_space),
        terms=Terms.of(run),
        attributes={"settings": of_any_space.to_json(), "data_root": str(source.root)},
    ) as done:
        ended, trials = done.session, done.trials
        costs = {candidate: done.costs[candidate] for candidate in candidates}
    if ended.exit_code != exit_codes.COMPLETE:
        say(f"{ended.why}; a table is written when all are trained")
        return ended.exit_code
    if lost := [trial for trial in trials if trial.failure is not None and not trial.failure.own]:
        last = lost[-1]
        say(
            f"search: {len(lost)} trainings failed by no fault of their designs, the last one ({last.job.design}, seed "
            f"{last.job.seed}) by {last.why_failed}; the same command tries them again, and then writes the table"
        )
        return exit_codes.FAILED
    table = Table.of(trials, costs, seeds=seeds, epochs=settings.recipe.epochs, settings=settings.to_json())
    if before is not None:
        table = table.with_known(before)
    table.save(path)
    _tell(table, name, path, json=run.json)
    if ended.mlflow_run is not None:
        say(f" look     {where_to_look(ended.mlflow_run, run.tracking_uri)}")
    return exit_codes.COMPLETE


def _before(path: Path, settings: Settings, designs: Sequence[Design]) -> Table | None:
    """What a file that is there already knows.

    Raises:
        UserError: it is torn, or would lose something.
    """
    if not path.exists():
        return None
    table = Table.load(path)
    if differing := settings.differing_trainings(Settings.from_json(table.settings)):
        raise UserError(f"{path} has curves of other trainings ({', '.join(differing)}); name another --table")
    if lacking := [design for design in table.designs if design not in designs]:
        raise UserError(f"{path} has {lacking[0]}, which this space has not; name another --table")
    return table


def _tell(table: Table, study: str, path: Path, *, json: bool) -> None:
    designs, seeds, failed = len(table.designs), table.seeds, int(np.isnan(table.val_accuracy[:, :, -1]).sum())
    if json:
        print_json({"study": study, "table": str(path), "designs": designs, "seeds": seeds, "nan": failed})
    say(f"{path} has {designs:,} designs x {seeds} seeds, {failed} trainings failed")
    say(f" search   search launch --table {path}")


def _view(name: str, uid: str, settings: Settings) -> View:
    """What MLflow shows of the trainings: gains are paired with the plain network by seed."""
    objectives = objectives_named(settings.objectives)
    plain = (settings.backbones[0], Design())

    def describe(trials: Sequence[Trial]) -> list[str]:
        return [paired_verdict(every_result(trials, plain, objectives))]

    return trainings_view(
        kind=STUDIES,
        study=name,
        uid=uid,
        params=settings.to_params(),
        objectives=objectives,
        plain=plain,
        metrics=lambda trials: {"trainings": float(len(trials))},
        describe=describe,
    )
