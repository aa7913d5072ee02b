"""An experiment of the papers, trained and printed beside the papers' values."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.papers.against_paper import OBJECTIVES, beside_paper, comparison_table, explanations
from pipelines.papers.analyses import analyse
from pipelines.papers.experiments import Experiment, PaperRow
from pipelines.papers.variants import STUDIES, Group, candidate, grouped
from pipelines.results.trainings_view import trainings_view
from pipelines.running.plan import Plan, Trained, latest, trained
from pipelines.running.terms import Terms
from pipelines.running.trainings import processes_of, training_seconds
from pipelines.settings.devices import find_device, find_device_name
from pipelines.settings.engines import make_engine, show_engine
from pipelines.settings.options.reproduce import ReproduceOptions
from pipelines.shipping.design_json import write_design
from pipelines.terminal import exit_codes
from pipelines.terminal.console import print_json, say, stderr, stdout
from pipelines.tracking.markdown import markdown
from pipelines.tracking.models import log_files
from pipelines.tracking.view import View
from search.storage import Storage
from search.trials import State, Trial
from space import Design, UserError
from space.backbones import backbone, code_of
from space.build import build
from space.choices import Candidate
from space.cost import Costs
from space.files import write_whole
from space.user_code import UserCode
from trainers.deployment import Deployment
from trainers.evaluator import Evaluator


def train(what: Experiment, wanted: Sequence[PaperRow], options: ReproduceOptions) -> int:
    """Train these rows of an experiment, or what is left to train of them; returns the exit code.

    Raises:
        UserError: a mistake in the options; nothing has been written then.
    """
    plugins = options.run.plugins
    terms = Terms.of(options.run)
    deadline = None if terms.time_limit is None else time.monotonic() + terms.time_limit
    storage, resources = Storage(options.run.storage), options.run.resources
    device = find_device(options.device, resources.address)
    groups = grouped(what.rows, wanted, options.changes, options.run, options.download)
    if what.analysis == "integration":
        _check_depth(groups)
    say(f"{what.name} · {what.source} · {what.title}")
    results: list[dict[str, Any]] = []
    analyses: dict[str, Any] = {}
    exit_code, studies = exit_codes.COMPLETE, []
    for group in groups:
        name = group.study_name(what.name, find_device_name(device, resources.address, resources.node_type), plugins)
        studies.append(name)
        folder = storage.folder(name)
        plan = _plan(group, name, folder, device, plugins, options)
        left = plan.left(storage)
        engine = make_engine(options.run.resources, device, left, _seconds_each(group, device) if left else 0.0)
        say(
            f"{group.data.name} · {group.images:,} train / {group.data.sizes()['test']:,} test"
            f" · recipe {group.recipe_name}, {group.recipe.epochs} epochs"
            f" · {len(plan.candidates)} networks x {options.seeds} seeds"
            f" · {show_engine(engine)} · {name}"
        )
        with trained(
            plan,
            engine,
            storage,
            partial(_view, what, group, name, changed=options.changes.any),
            terms=terms if deadline is None else replace(terms, time_limit=max(0.0, deadline - time.monotonic())),
        ) as run:
            found = beside_paper(group, group.rows, run.trials, run.costs, what.rows)
            results += found
            there = _results_so_far(what, group, run.ledger.trials, run.costs)
            write_whole(folder / "results.json", json.dumps(there, indent=2))
            exit_code = run.session.exit_code
            if exit_code != exit_codes.COMPLETE:
                say(run.session.why)
                break
            for result in found:
                write_design(result, folder, group.data, group.source, group.recipe, run.uid)
            if what.analysis is not None:
                analyses[name] = _analyse(what, group, run, folder, options)
    if options.run.json:
        print_json({"experiment": what.name, "studies": studies, "results": results, "analyses": analyses})
    else:
        stdout.print(comparison_table(what, results, options.changes.any))
        for sentence in explanations(what, results, options.changes.any):
            stdout.print(sentence)
        say(f"weights and results are in {storage.root / STUDIES / what.name}")
    if exit_code == exit_codes.COMPLETE and any(result["failed"] for result in results):
        return exit_codes.FAILED
    return exit_code


def _check_depth(groups: Sequence[Group]) -> None:
    """Make sure that there are earlier blocks for a later one to draw on."""
    for name in {row.backbone for group in groups for row in group.rows}:
        if max(stage.blocks for stage in backbone(name).layout) < 2:
            raise UserError(f"{name} has one block a stage, so that no gate has one before it; use a deeper --backbone")


def _plan(
    group: Group, name: str, folder: Path, device: str, plugins: tuple[UserCode, ...], options: ReproduceOptions
) -> Plan:
    return Plan(
        name=name,
        candidates=list(dict.fromkeys(candidate(row) for row in group.rows)),
        seeds=options.seeds,
        task=group.task,
        evaluate=Evaluator(
            source=group.source,
            recipe=group.recipe,
            device=device,
            threads=options.run.resources.cpus_per_trial,
            processes=processes_of(options.run.resources, device, group.recipe),
            judge="test each epoch",
            learn_from_val=group.learn_from_val,
            weights_into=folder,
            code=(*plugins, *code_of(row.backbone for row in group.rows)),
        ),
        deployment=Deployment(device=device, form="eager"),  # as the papers timed theirs
        objectives=OBJECTIVES,
        nan_is_a_result=True,
    )


def _seconds_each(group: Group, device: str) -> float:
    """About how long a training of the group's first backbone takes."""
    network = build(Design(), backbone(group.rows[0].backbone), group.task.num_classes, group.task.shape[0])
    return training_seconds(network, group.task, group.recipe, {"train": group.images, "val": 0}, device)


def _analyse(what: Experiment, group: Group, run: Trained, folder: Path, options: ReproduceOptions) -> dict[str, Any]:
    """Look into the trained networks; pictures and numbers go into the study's folder and to MLflow."""
    assert what.analysis is not None
    complete = {(trial.job.candidate, trial.job.seed) for trial in run.trials if trial.state is State.COMPLETE}
    seeds = [s for s in range(options.seeds) if all((candidate(row), s) in complete for row in group.rows)]
    if not seeds:
        say(f"no seed under which all networks trained to the end: no {what.analysis} to show")
        return {}
    into = folder / what.analysis
    networks = {row.name: candidate(row) for row in group.rows}
    try:
        with stderr.status(f"{what.analysis} of {len(seeds)} x {len(networks)} networks"):
            found = analyse(what.analysis, networks, seeds, folder, group.data, into, run.uid)
    except UserError as error:  # the weights are gone, but not the results
        say(f"{error}: no {what.analysis} to show")
        return {}
    say(f"{what.analysis}: pictures and numbers in {into}")
    if run.session.mlflow_run is not None:
        log_files(into, run.session.mlflow_run, options.run.tracking_uri)
    return found


def _results_so_far(
    what: Experiment, group: Group, trials: Sequence[Trial], costs: Mapping[Candidate, Costs]
) -> list[dict[str, Any]]:
    """The results of every row of the experiment that this study has trainings of, wanted now or not."""
    begun = {trial.job.candidate for trial in trials}
    rows = [row for row in group.every if row in group.rows or candidate(row) in begun]
    return beside_paper(group, rows, latest(trials), costs, what.rows)


def metric_name(row: str) -> str:
    """A row's name with dashes for what MLflow does not take."""
    return re.sub(r"[^A-Za-z0-9_. -]", "-", row)


def _view(what: Experiment, group: Group, name: str, uid: str, costs: Mapping[Candidate, Costs], changed: bool) -> View:
    """What MLflow shows of a group."""

    def metrics(trials: Sequence[Trial]) -> dict[str, float]:
        return {
            f"{metric}/{metric_name(result['row'])}": result[metric]
            for result in _results_so_far(what, group, trials, costs)
            for metric in ("test_accuracy", "test_accuracy_std", "best_epoch_test_accuracy")
            if result[metric] is not None
        }

    def describe(trials: Sequence[Trial]) -> list[str]:
        results = _results_so_far(what, group, trials, costs)
        return [*explanations(what, results, changed), markdown(comparison_table(what, results, changed))]

    def write(trials: Sequence[Trial], folder: Path) -> None:
        write_whole(folder / "results.json", json.dumps(_results_so_far(what, group, trials, costs), indent=2))

    return trainings_view(
        kind=STUDIES,
        study=name,
        uid=uid,
        name=name.removeprefix(f"{STUDIES}/"),
        several_backbones=True,
        params={
            "experiment": what.name,
            "source": what.source,
            "dataset": group.data.name,
            "train_images": group.images,
            "backbones": ", ".join(dict.fromkeys(row.backbone for row in group.every)),
            **group.recipe.to_params(),
        },
        objectives=OBJECTIVES,
        plain=None,
        metrics=metrics,
        describe=describe,
        write=write,
    )
