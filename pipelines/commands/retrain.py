"""`search retrain`: train the best designs of a study in full, several seeds each, and read the test split once."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.results.fronts import knee_row, top
from pipelines.results.paired import best_figures, every_result, explanation, paired_table, paired_verdict, summarise
from pipelines.results.paired_files import PICTURE, write_paired
from pipelines.results.tables import rows_of
from pipelines.results.trainings_view import trainings_view
from pipelines.running.plan import Plan, trained
from pipelines.running.terms import Terms
from pipelines.running.trainings import evaluator_of, plain_seconds
from pipelines.settings.checks import check_fit, check_plugins, check_same
from pipelines.settings.devices import find_device
from pipelines.settings.engines import make_engine, show_engine
from pipelines.settings.objectives import objectives_named
from pipelines.settings.options.retrain import LEARNT_FROM, RetrainOptions
from pipelines.settings.resolve import default_recipe, digests, find_recipe, read
from pipelines.settings.study import Settings
from pipelines.shipping.design_json import write_design
from pipelines.shipping.find import ASKED
from pipelines.terminal import exit_codes
from pipelines.terminal.console import print_json, say, stdout, warn
from pipelines.tracking.markdown import markdown
from pipelines.tracking.models import log_model
from pipelines.tracking.runs import run_ids, where_to_look
from pipelines.tracking.view import View
from search.objectives import Objectives
from search.storage import Record, Storage
from search.trials import State, Trial
from space import Design, UserError
from space.choices import Candidate
from trainers.evaluator import trained_network
from trainers.recipe import Recipe

MODEL_ATTRIBUTE = "mlflow_model:"
"""With a trial's number behind it: the attribute that says that MLflow has the model, and registered as what."""
TRAIN, TRAIN_AND_VAL = LEARNT_FROM


def retrain(options: RetrainOptions) -> int:
    """Train the chosen designs and the plain backbone in full; returns the exit code.

    Raises:
        UserError: a mistake in the options; nothing has been written then.
    """
    plugins = options.run.plugins
    storage = Storage(options.run.storage)
    searched = storage.read(storage.find(options.study))
    settings = Settings.from_json(searched.attributes["settings"])
    check_plugins(searched.name, settings, plugins)
    files = digests(settings.backbones, settings.weights, settings.groups)
    check_same(searched.name, settings, replace(settings, files=files))
    chosen = choose(options, searched, settings)
    recipe, _ = find_recipe(options.recipe, options.epochs, settings, default_recipe(settings.dataset))
    data, source = read(settings, options.run, Path(searched.attributes["data_root"]))
    check_fit(data, recipe, tuple(name for name, _ in chosen))

    objectives = _objectives(settings)
    on = options.on or learnt_from(settings.images)
    with_val = on != TRAIN
    name = _name(searched.name, settings, recipe, on)
    folder = storage.folder(name)
    find_device(settings.device, options.run.resources.address, searched.name)
    plan = Plan(
        name=name,
        candidates=chosen,
        seeds=options.seeds,
        task=settings.task,
        evaluate=replace(
            evaluator_of(settings, source, options.run),
            recipe=recipe,
            judge="test",
            learn_from_val=with_val,
            weights_into=folder,
        ),
        deployment=settings.deployment,
        objectives=objectives,
    )
    images = {"train": settings.images["train"] + with_val * settings.images["val"], "val": 0}
    seconds_each = plain_seconds(settings, recipe, images)
    engine = make_engine(options.run.resources, settings.device, plan.left(storage), seconds_each)
    say(
        f"{settings.describe_data()} · {len(chosen)} designs x {options.seeds} seeds · {recipe.epochs} epochs"
        f" on {on} ({images['train']:,} images) · {show_engine(engine)} · {name}"
    )
    with trained(
        plan,
        engine,
        storage,
        lambda uid, costs: _view(name, uid, searched.name, settings, recipe, on),
        known=searched.attributes,
        terms=Terms.of(options.run),
    ) as run:
        ended, ledger = run.session, run.ledger
        results = _with_source(summarise(run.trials, chosen, objectives), on)
        failed = [trial for trial in run.trials if trial.state is State.FAILED]
        every = _with_source(every_result(ledger.trials, (settings.backbones[0], Design()), objectives), on)
        _write(every, settings, on, folder)
        if ended.exit_code == exit_codes.COMPLETE:
            for result in every:
                write_design(result, folder, data, source, recipe, run.uid)
            ledger.annotate(ASKED, [[backbone, str(design)] for backbone, design in chosen])
            _log_models(chosen, folder, settings, storage.read(name), options, ledger.annotate)
    if options.run.json:
        print_json({"study": searched.name, "retraining": name, "on": on, "folder": str(folder), "results": results})
    else:
        stdout.print(paired_table(results, objectives, _title(on), "test"))
        stdout.print(explanation(results), soft_wrap=True)
        say(f"weights and designs are in {folder}")
        if ended.mlflow_run is not None:
            say(f" look    {where_to_look(ended.mlflow_run, options.run.tracking_uri)}")
    if ended.exit_code == exit_codes.STOPPED:
        say(f"{ended.why}: {ledger.trained} of {ledger.budget} are trained.")
    elif ended.exit_code == exit_codes.FAILED:
        say(f"search: {ended.reason}")
    elif failed:
        say(f"search: {len(failed)} of {len(chosen) * options.seeds} trainings failed")
        return exit_codes.FAILED
    return ended.exit_code


def choose(options: RetrainOptions, searched: Record, settings: Settings) -> list[Candidate]:
    """The plain backbone and what the user asked for, in this order.

    Raises:
        UserError: a design that the backbone does not take, or a study without complete trials.
    """
    first = settings.backbones[0]
    candidates: list[Candidate] = [(first, Design())]
    if options.design:
        candidates += [settings.candidate(text) for text in options.design]
        return list(dict.fromkeys(candidates))
    complete = rows_of(searched)
    if not complete:
        raise UserError(f"study {searched.name} has no complete trial yet; search first, or name one with --design")
    if options.knee:
        picked = [knee_row(complete)]
    else:
        count = 3 if options.top is None else options.top
        picked = top(complete, count)
    candidates += [(row.backbone, Design.parse(row.design)) for row in picked]
    return list(dict.fromkeys(candidates))


def learnt_from(images: Mapping[str, int]) -> str:
    """What a retraining learns from unless told, from the sizes of the splits: validation images too, if they are few.

    With many times the images that a search learnt from, training is another task, in which its ranking says little.
    """
    return TRAIN if images["val"] > images["train"] else TRAIN_AND_VAL


def _name(study: str, settings: Settings, recipe: Recipe, on: str) -> str:
    """The same study, recipe and images go on where they stopped; other designs and more seeds extend them."""
    table = json.dumps([settings.to_json(), recipe.to_dict(), on], sort_keys=True)
    return f"{study}/retrain-{hashlib.sha256(table.encode()).hexdigest()[:6]}"


def _with_source(results: Sequence[dict[str, Any]], on: str) -> list[dict[str, Any]]:
    """The same results, each with what it learnt from."""
    return [{**result, "trained_on": on} for result in results]


def _write(results: Sequence[Mapping[str, Any]], settings: Settings, on: str, folder: Path) -> None:
    title = f"against plain {settings.backbones[0]}, trained on {on} of {Path(settings.dataset).name}"
    write_paired(results, _objectives(settings), title, folder)


def _view(name: str, uid: str, study: str, settings: Settings, recipe: Recipe, on: str) -> View:
    """What MLflow shows of a retraining."""
    objectives = _objectives(settings)
    plain = (settings.backbones[0], Design())

    def results(trials: Sequence[Trial]) -> list[dict[str, Any]]:
        return _with_source(every_result(trials, plain, objectives), on)

    def metrics(trials: Sequence[Trial]) -> dict[str, float]:
        there = results(trials)
        means = {(result["backbone"], result["design"]): result[objectives.metric] for result in there}
        designs = float(len({trial.job.candidate for trial in trials}))
        of_plain = means.get((plain[0], str(plain[1])))
        return {
            "designs": designs,
            **({} if of_plain is None else {"plain": of_plain}),
            **best_figures(there, objectives),
        }

    def describe(trials: Sequence[Trial]) -> list[str]:
        there = results(trials)
        table = markdown(paired_table(there, objectives, _title(on), "test"))
        return [paired_verdict(there), table, explanation(there)]

    return trainings_view(
        kind="retrain",
        study=study,
        uid=uid,
        name=name,
        params={
            "study": study,
            "dataset": settings.dataset,
            "on": on,
            **recipe.to_params(),
        },
        objectives=objectives,
        plain=plain,
        metrics=metrics,
        describe=describe,
        write=lambda trials, folder: _write(results(trials), settings, on, folder),
        pages={"picture": PICTURE},
    )


def _log_models(
    chosen: Sequence[Candidate],
    folder: Path,
    settings: Settings,
    record: Record,
    options: RetrainOptions,
    annotate: Callable[[str, Any], None],
) -> None:
    """Give the network of each design's first seed to MLflow, once; register that of the first design asked for."""
    runs = run_ids(record.attributes)
    for trial in record.trials:
        name, design = trial.job.candidate
        if trial.job.seed != 0 or trial.state is not State.COMPLETE or trial.number not in runs:
            continue
        register = options.register if trial.job.candidate == chosen[min(1, len(chosen) - 1)] else None
        logged = f"{MODEL_ATTRIBUTE}{trial.number}"
        if logged in record.attributes and register in (None, record.attributes[logged]):
            continue
        try:
            network = trained_network(
                folder, name, design, 0, settings.num_classes, settings.shape[0], record.attributes["uid"]
            )
        except UserError as error:
            warn(str(error))
            continue
        example = np.zeros((2, *settings.shape), np.float32)
        if log_model(network.eval(), example, runs[trial.number], options.run.tracking_uri, register):
            annotate(logged, register)


def _objectives(settings: Settings) -> Objectives:
    """Those of the search, judged on the test images."""
    return replace(objectives_named(settings.objectives), metric=f"test_{settings.metric}")


def _title(on: str) -> str:
    return f"paired with plain by seed, trained on {on}"
