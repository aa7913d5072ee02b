"""What came out of an experiment beside what the paper prints, for programs and for the terminal."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from pipelines.console import stdout
from pipelines.experiments import Experiment, Row
from pipelines.groups import Group, candidate
from pipelines.paired import paired_difference
from pipelines.planned import METRIC
from search.trials import State, Trial
from space import Design
from space.choices import Candidate
from trainers.throughput import FpsTable


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


def print_comparison(what: Experiment, results: Sequence[Mapping[str, Any]], replaced: bool) -> None:
    """Print the results of an experiment's rows as a table.

    Args:
        what: the experiment.
        results: as `summarise` gives them.
        replaced: whether they are on other data or another backbone than the paper's.
    """
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
