"""`search reproduce`: the experiments of the two papers, trained and printed beside the papers' values."""

import hashlib
import json
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from pipelines import session
from pipelines.analyses import ANALYSES
from pipelines.console import print_json, say, stderr, stdout
from pipelines.costs import trial_seconds
from pipelines.counts import show_counts
from pipelines.engines import Resources, find_device, make_engine
from pipelines.experiments import Experiment, Printed, Row, experiment, experiments
from pipelines.paired import paired_difference
from pipelines.planned import METRIC, Plan, Trained, trained
from pipelines.provenance import provenance
from pipelines.quantities import parse_duration
from pipelines.resolve import DEFAULT_RECIPES, OTHER_RECIPE
from pipelines.settings import check_fit
from pipelines.tracking import View, log_files
from search.storage import Storage
from search.trials import State, Trial
from space import Design, UserError
from space.backbones import backbone
from space.build import build
from space.choices import Candidate
from trainers.cost import Task
from trainers.data import Data
from trainers.datasets import Source, load
from trainers.evaluator import Evaluator
from trainers.recipe import Recipe
from trainers.recipe import recipe as find_recipe
from trainers.throughput import FpsTable, device_name

STUDIES = "reproduce"
"""Folder of the studies, and kind of the runs in MLflow."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user typed behind `search reproduce`; None where nothing was."""

    name: str | None = None
    every: bool = False
    params_only: bool = False
    rows: tuple[str, ...] = ()
    seeds: int = 3
    epochs: int | None = None
    dataset: str | None = None
    backbone: str | None = None
    recipe: str | None = None
    train_size: int | None = None
    data_root: Path | None = None
    download: bool = False
    device: str = "auto"
    resources: Resources = field(default_factory=Resources)
    storage: str = "runs"
    tracking_uri: str | None = None
    time_limit: str | None = None
    json: bool = False


def reproduce(options: Options) -> int:
    """List the experiments, print parameter counts, or train an experiment; returns the exit code.

    Raises:
        UserError: a mistake in the options; nothing has been written then.
    """
    if options.every and options.name is not None:
        raise UserError(f"--all and {options.name} exclude each other; use one of them")
    if options.every and not options.params_only:
        raise UserError("--all would train for months; add --params-only, or name one experiment")
    if options.name is None and not options.every:
        if options.params_only:
            raise UserError("--params-only needs the name of an experiment, or --all")
        _list_experiments(options.json)
        return session.COMPLETE
    chosen = list(experiments().values()) if options.name is None else [experiment(options.name)]
    chosen = [_narrowed(one, options.rows) for one in chosen]
    if options.params_only:
        show_counts(chosen, options.json)
        return session.COMPLETE
    return _train(chosen[0], options)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows that share data and recipe, and so a study.

    Attributes:
        rows: of the experiment.
        source: of the data.
        data: read, to look at.
        recipe: how each network is trained.
        recipe_name: what the recipe is called.
        learn_from_val: whether the full training set is learnt from.
    """

    rows: tuple[Row, ...]
    source: Source
    data: Data
    recipe: Recipe
    recipe_name: str
    learn_from_val: bool

    @property
    def task(self) -> Task:
        """What its networks are for."""
        return Task(len(self.data.classes), self.data.shape)

    @property
    def images(self) -> int:
        """Images to learn from."""
        sizes = self.data.sizes()
        return sizes["train"] + (sizes["val"] if self.learn_from_val else 0)

    def study_name(self, experiment_name: str, device: str) -> str:
        """The same data, recipe and device go on where they stopped; other rows and seeds extend them."""
        table = [str(self.source), self.recipe.to_dict(), device_name(device)]
        digest = hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:6]
        dataset = "".join(c if c.isalnum() else "-" for c in self.source.name)
        return f"{STUDIES}/{experiment_name}/{dataset}-{self.recipe_name}-{digest}"


def candidate(row: Row) -> Candidate:
    """What is trained for a row."""
    return row.backbone, row.design.canonical(backbone(row.backbone).layout)


def _train(what: Experiment, options: Options) -> int:
    if options.seeds < 1:
        raise UserError(f"--seeds {options.seeds}: at least one is needed")
    time_limit = None if options.time_limit is None else parse_duration(options.time_limit, "--time-limit")
    storage = Storage(options.storage)
    device = find_device(options.device, options.resources.address)
    groups = _groups(_replaced(what.rows, options), options)
    say(f"{what.name} · {what.source} · {what.title}")
    results: list[dict[str, Any]] = []
    analyses: dict[str, Any] = {}
    exit_code, studies = session.COMPLETE, []
    for group in groups:
        name = group.study_name(what.name, device)
        studies.append(name)
        plan = Plan(
            name=name,
            candidates=list(dict.fromkeys(candidate(row) for row in group.rows)),
            seeds=options.seeds,
            task=group.task,
            evaluate=Evaluator(
                source=group.source,
                recipe=group.recipe,
                device=device,
                threads=options.resources.cpus_per_trial,
                judge="test each epoch",
                learn_from_val=group.learn_from_val,
                weights_into=storage.folder(name),
            ),
            nan_is_a_result=True,
        )
        first = build(Design(), backbone(plan.candidates[0][0]), group.task.num_classes, group.task.shape[0])
        seconds_each = trial_seconds(first, group.task, group.recipe, {"train": group.images, "val": 0}, device)
        engine = make_engine(options.resources, device, plan.left(storage), seconds_each)
        say(
            f"{group.data.name} · {group.images:,} train / {group.data.sizes()['test']:,} test"
            f" · recipe {group.recipe_name}, {group.recipe.epochs} epochs"
            f" · {len(plan.candidates)} networks x {options.seeds} seeds"
            f" · {engine.name}, {engine.workers} worker{'s' if engine.workers > 1 else ''} · {name}"
        )
        with trained(
            plan,
            engine,
            storage,
            lambda uid, table, group=group, name=name: _view(what, group, name, uid, table),  # type: ignore[misc]
            tracking_uri=options.tracking_uri,
            time_limit=time_limit,
        ) as run:
            results += summarise(group, run.trials, run.table, what.rows)
            exit_code = run.session.exit_code
            if exit_code != session.COMPLETE:
                say(f"{run.session.reason}; the same command goes on")
                break
            if what.analysis is not None:
                analyses[name] = _analyse(what, group, run, storage.folder(name), device, options)
    if options.json:
        print_json({"experiment": what.name, "studies": studies, "results": results, "analyses": analyses})
    else:
        _print(what, results, replaced=bool(options.dataset or options.backbone))
        say(f"trainings and weights are in {storage.root / STUDIES / what.name}")
    if exit_code == session.COMPLETE and any(result["failed"] for result in results):
        return session.FAILED
    return exit_code


def _narrowed(what: Experiment, texts: Sequence[str]) -> Experiment:
    """Only the rows whose name has one of these texts in it, as whole words: CIFAR10 is not CIFAR100."""
    if not texts:
        return what
    patterns = [re.compile(rf"(?<!\w){re.escape(text.strip())}(?!\w)", re.IGNORECASE) for text in texts]
    kept = tuple(row for row in what.rows if any(pattern.search(row.name) for pattern in patterns))
    if not kept:
        names = ", ".join(row.name for row in what.rows)
        raise UserError(f"--rows {', '.join(texts)}: no row of {what.name} has these words; there are {names}")
    return replace(what, rows=kept)


def _replaced(rows: Sequence[Row], options: Options) -> list[Row]:
    """The rows on the data set and backbone that the user wants instead, each network once."""
    if options.dataset is None and options.backbone is None:
        return list(rows)
    changed = [
        replace(
            row,
            name=row.name if options.dataset is None else row.network,
            dataset=options.dataset or row.dataset,
            backbone=row.backbone if options.backbone is None else backbone(options.backbone).name,
            recipe=row.recipe if options.dataset is None else _recipe_of(options.dataset),
            printed=Printed(),
        )
        for row in rows
    ]
    first: dict[Any, Row] = {}
    for row in changed:
        same = first.setdefault((row.dataset, row.augmentation, candidate(row)), row)
        if same.network != row.network:
            say(f"{row.network} is the same network as {same.network} on {row.backbone}: trained once")
    return list(first.values())


def _recipe_of(dataset: str) -> str:
    """For a data set that the papers do not train on."""
    return DEFAULT_RECIPES.get(dataset, OTHER_RECIPE)


def _groups(rows: Sequence[Row], options: Options) -> list[Group]:
    """The rows by data and recipe, all of it read and checked."""
    keys = dict.fromkeys((row.dataset, options.recipe or row.recipe, row.augmentation) for row in rows)
    groups = []
    for dataset, recipe_name, augmentation in keys:
        recipe = find_recipe(recipe_name)
        recipe = recipe if options.epochs is None else recipe.with_epochs(options.epochs)
        source = Source(
            name=dataset, root=(options.data_root or Path("data")).absolute(), train_size=options.train_size
        )
        with stderr.status(f"reading {dataset}"):
            data = load(source, download=options.download)
        there = tuple(
            row
            for row in rows
            if (row.dataset, options.recipe or row.recipe, row.augmentation) == (dataset, recipe_name, augmentation)
        )
        check_fit(data, recipe, tuple({row.backbone for row in there}))
        groups.append(
            Group(
                rows=there,
                source=source,
                data=data,
                recipe=recipe if augmentation else recipe.without_augmentation(),
                recipe_name=recipe_name if augmentation else f"{recipe_name}-unaugmented",
                learn_from_val=options.train_size is None,
            )
        )
    return groups


def summarise(group: Group, trials: Sequence[Trial], table: FpsTable, of_paper: Sequence[Row]) -> list[dict[str, Any]]:
    """For each row of a group what the paper prints and what came out, accuracies in percent."""
    by_candidate: dict[Candidate, list[Trial]] = {}
    for trial in trials:
        by_candidate.setdefault(trial.job.candidate, []).append(trial)
    results = []
    for row in group.rows:
        there = by_candidate.get(candidate(row), [])
        last = _by_seed(there)
        rival = next((r for r in group.rows if r.network == row.against), None)
        rival_by_seed = {} if rival is None else _by_seed(by_candidate.get(candidate(rival), []))
        paired = paired_difference(last, rival_by_seed)
        name, design = candidate(row)
        fps = table.fps(design, name, group.task)
        mean = statistics.fmean(last.values()) if last else None
        best = [100 * max(report[METRIC] for report in t.history) for t in there if t.state is State.COMPLETE]
        failures = [trial.failure.kind for trial in there if trial.failure is not None]
        results.append(
            {
                "row": row.name,
                "backbone": name,
                "design": str(design),
                "dataset": row.dataset,
                "recipe": group.recipe_name,
                "epochs": group.recipe.epochs,
                "num_params": next((trial.job.cost.num_params for trial in there), None),
                "n": len(last),
                "nan": failures.count("nan"),
                "failed": len(failures) - failures.count("nan"),
                "test_accuracy": mean,
                "test_accuracy_std": statistics.stdev(last.values()) if len(last) > 1 else None,
                "best_epoch_test_accuracy": statistics.fmean(best) if best else None,
                "by_seed": last,
                "against": rival.name if rival is not None else None,
                "paired_difference": asdict(paired) if paired is not None and paired.pairs > 1 else None,
                "fps": fps,
                "relative_fps": fps / table.fps(Design(), name, group.task),
                "printed": _printed(row, of_paper),
            }
        )
    return results


def _by_seed(trials: Sequence[Trial]) -> dict[int, float]:
    """Test accuracy after the last epoch, in percent, by seed."""
    return {trial.job.seed: 100 * trial.last[METRIC] for trial in trials if trial.state is State.COMPLETE}


def _printed(row: Row, of_paper: Sequence[Row]) -> dict[str, float | str | None]:
    printed = row.printed
    plain = next(
        (r for r in of_paper if (r.backbone, r.dataset, r.design) == (row.backbone, row.dataset, Design())), None
    )
    relative = printed.fps / plain.printed.fps if plain and plain.printed.fps and printed.fps else None
    broke_off = printed.accuracy is not None and math.isnan(printed.accuracy)
    return {
        "params_millions": printed.params,
        "test_accuracy": "nan" if broke_off else printed.accuracy,
        "test_accuracy_std": printed.std,
        "fps": printed.fps,
        "relative_fps": relative,
    }


def _analyse(
    what: Experiment, group: Group, run: Trained, folder: Path, device: str, options: Options
) -> dict[str, Any]:
    """Look into the trained networks; pictures and numbers go into the study's folder and to MLflow."""
    assert what.analysis is not None
    complete = {(trial.job.candidate, trial.job.seed) for trial in run.trials if trial.state is State.COMPLETE}
    seeds = [s for s in range(options.seeds) if all((candidate(row), s) in complete for row in group.rows)]
    if not seeds:
        say(f"no seed under which all networks trained to the end: no {what.analysis} to show")
        return {}
    into = folder / what.analysis
    into.mkdir(exist_ok=True)
    with stderr.status(f"{what.analysis} of {len(seeds)} x {len(group.rows)} networks"):
        networks = {row.name: candidate(row) for row in group.rows}
        found = ANALYSES[what.analysis](networks, seeds, folder, group.data, device, into)
    say(f"{what.analysis}: pictures and numbers in {into}")
    if run.session.mlflow_run is not None:
        log_files(into, run.session.mlflow_run, options.tracking_uri)
    return found


def _view(what: Experiment, group: Group, name: str, uid: str, table: FpsTable) -> View:
    """What MLflow shows of a group."""

    def metrics(trials: Sequence[Trial]) -> dict[str, float]:
        return {
            f"test_accuracy/{re.sub(r'[^A-Za-z0-9_. -]', '-', result['row'])}": result["test_accuracy"]
            for result in summarise(group, trials, table, what.rows)
            if result["test_accuracy"] is not None
        }

    def write_artifacts(trials: Sequence[Trial], run_ids: Mapping[int, str], folder: Path) -> None:
        (folder / "results.json").write_text(json.dumps(summarise(group, trials, table, what.rows), indent=2))

    return View(
        name=name.removeprefix(f"{STUDIES}/"),
        uid=uid,
        params={
            "experiment": what.name,
            "source": what.source,
            "dataset": group.data.name,
            "train_images": group.images,
            **{f"recipe.{key}": value for key, value in group.recipe.to_dict().items()},
        },
        tags={"kind": "reproduce", "study": name, **provenance()},
        trial_name=lambda trial: f"{trial.job.backbone} {trial.job.design} seed {trial.job.seed}",
        metrics=metrics,
        trial_tags=lambda trials: {},
        write_artifacts=write_artifacts,
    )


def _list_experiments(as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {"experiment": e.name, "source": e.source, "title": e.title, "rows": [row.name for row in e.rows]}
                for e in experiments().values()
            ]
        )
        return
    table = Table(box=None)
    for column in ("experiment", "source", "shows"):
        table.add_column(column, no_wrap=column == "experiment")
    table.add_column("rows", justify="right")
    table.add_column("on")
    for e in experiments().values():
        table.add_row(e.name, e.source, e.title, str(len(e.rows)), ", ".join(dict.fromkeys(r.dataset for r in e.rows)))
    stdout.print(table)
    stdout.print("search reproduce NAME --params-only   parameters, in seconds; --all for every experiment")
    stdout.print(
        "search reproduce NAME                 trains it; --rows, --epochs, --dataset and --backbone shrink it"
    )


def _print(what: Experiment, results: Sequence[Mapping[str, Any]], replaced: bool) -> None:
    table = Table(box=None, title=f"{what.source}: {what.title}", title_justify="left", title_style="bold")
    table.add_column("row", no_wrap=True)
    cells = [_cells(result) for result in results]
    heads = [head for head in cells[0] if any(row[head] for row in cells)] if cells else []
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for result, row in zip(results, cells, strict=True):
        table.add_row(result["row"], *(row[head] for head in heads))
    stdout.print(table)
    stdout.print("Test accuracy in percent, mean ± standard deviation over n seeds. * optimistic: the best test epoch.")
    if "95 %" in heads:
        stdout.print("against: the paired difference over the seeds, with its 95 % interval.")
    if replaced:
        stdout.print("On other data or another backbone the paper prints nothing to compare with.")
    elif what.note:
        stdout.print(what.note)


def _cells(result: Mapping[str, Any]) -> dict[str, str]:
    """What the terminal shows of a row, by column."""
    printed, paired = result["printed"], result["paired_difference"]
    return {
        "paper": _accuracy(printed["test_accuracy"], printed["test_accuracy_std"]),
        "ours, last epoch": _ours(result),
        "difference": _difference(result),
        "best epoch*": _accuracy(result["best_epoch_test_accuracy"], None),
        "n": str(result["n"]),
        "against": "" if paired is None else result["against"],
        "95 %": "" if paired is None else f"{paired['mean']:+.2f} [{paired['low']:+.2f}, {paired['high']:+.2f}]",
        "params": "" if result["num_params"] is None else f"{result['num_params']:,}",
        "fps": f"{result['fps']:,.0f}",
        "x plain": f"{result['relative_fps']:.2f} x",
        "paper's": "" if printed["relative_fps"] is None else f"{printed['relative_fps']:.2f} x",
    }


def _accuracy(value: float | str | None, std: float | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:.2f}" + ("" if std is None else f" ± {std:.2f}")


def _ours(result: Mapping[str, Any]) -> str:
    parts = [_accuracy(result["test_accuracy"], result["test_accuracy_std"])] if result["n"] else []
    parts += [f"{result['nan']} nan"] if result["nan"] else []
    return ", ".join([*parts, *([f"{result['failed']} failed"] if result["failed"] else [])])


def _difference(result: Mapping[str, Any]) -> str:
    theirs = result["printed"]["test_accuracy"]
    if not isinstance(theirs, float) or result["test_accuracy"] is None:
        return ""
    return f"{result['test_accuracy'] - theirs:+.2f}"
