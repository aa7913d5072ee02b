"""What came out of an experiment beside what the paper prints, for programs and for the terminal."""

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from pipelines.papers.experiments import Experiment, PaperRow
from pipelines.papers.variants import Group, candidate
from pipelines.results.fronts import costs_json
from pipelines.results.paired import paired_difference
from pipelines.settings.objectives import objectives_named
from search.trials import FailureKind, State, Trial
from space import Design
from space.choices import Candidate
from space.cost import Costs

METRIC = "test_accuracy"
OBJECTIVES = objectives_named([METRIC, "params", "fps"])
"""What the papers print."""


def beside_paper(
    group: Group,
    rows: Sequence[PaperRow],
    trials: Sequence[Trial],
    costs: Mapping[Candidate, Costs],
    of_paper: Sequence[PaperRow],
) -> list[dict[str, Any]]:
    """For each row of a group what the paper prints and what came out, accuracies in percent.

    Args:
        group: data and recipe.
        rows: of the group.
        trials: one for each training.
        costs: of their networks, and of the plain backbones.
        of_paper: all rows that the paper prints beside these.
    """
    by_candidate: dict[Candidate, list[Trial]] = {}
    for trial in trials:
        by_candidate.setdefault(trial.job.candidate, []).append(trial)
    results = []
    for row in rows:
        name, design = candidate(row)
        there = by_candidate.get((name, design), [])
        last = _last(there)
        best = [100 * max(report[METRIC] for report in t.history) for t in there if t.state is State.COMPLETE]
        failures = [trial.failure.kind for trial in there if trial.failure is not None]
        rival = next((r for r in group.every if r.network == row.against and r.dataset == row.dataset), None)
        paired = paired_difference(last, _last(by_candidate.get(candidate(rival), []))) if rival else None
        results.append(
            {
                "row": row.name,
                "backbone": name,
                "design": str(design),
                "dataset": row.dataset,
                "recipe": group.recipe_name,
                "epochs": group.recipe.epochs,
                "n": len(last),
                "nan": failures.count(FailureKind.NAN),
                "failed": len(failures) - failures.count(FailureKind.NAN),
                "test_accuracy": _mean(last.values()),
                "test_accuracy_std": _std(last.values()),
                "best_epoch_test_accuracy": _mean(best),
                "best_epoch_test_accuracy_std": _std(best),
                "by_seed": last,
                "against": rival.name if rival else None,
                "paired_difference": asdict(paired) if paired else None,
                **costs_json(OBJECTIVES.costs, costs[name, design], costs[name, Design()]),
                "printed": _printed(row, of_paper),
            }
        )
    return results


def _last(trials: Sequence[Trial]) -> dict[int, float]:
    """Test accuracy after the last epoch, in percent, by seed."""
    return {trial.job.seed: 100 * trial.last[METRIC] for trial in trials if trial.state is State.COMPLETE}


def _mean(values: Collection[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _std(values: Collection[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _printed(row: PaperRow, of_paper: Sequence[PaperRow]) -> dict[str, Any]:
    printed = row.printed
    plain = next(
        (r for r in of_paper if (r.backbone, r.dataset, r.design) == (row.backbone, row.dataset, Design())), None
    )
    relative = printed.fps / plain.printed.fps if plain and plain.printed.fps and printed.fps else None
    exploded = printed.accuracy is not None and math.isnan(printed.accuracy)
    return {
        "params_millions": printed.params,
        "exploded": exploded,
        "test_accuracy": None if exploded else printed.accuracy,
        "test_accuracy_std": printed.std,
        "gain": printed.gain,
        "fps": printed.fps,
        "relative_fps": relative,
    }


def comparison_table(what: Experiment, results: Sequence[Mapping[str, Any]], changed: bool) -> Table:
    """The results of an experiment's rows.

    Args:
        what: the experiment.
        results: as `beside_paper` gives them.
        changed: whether they were trained otherwise than in the paper; then no differences to it are shown.
    """
    table = Table(box=None, title=f"{what.source}: {what.title}", title_justify="left", title_style="bold")
    table.add_column("row", no_wrap=True)
    cells = [_cells(result, changed) for result in results]
    heads = [head for head in cells[0] if any(row[head] for row in cells)] if cells else []
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for result, row in zip(results, cells, strict=True):
        table.add_row(result["row"], *(row[head] for head in heads))
    return table


def explanations(what: Experiment, results: Sequence[Mapping[str, Any]], changed: bool) -> list[str]:
    """What to know to read the table, in sentences."""
    says = ["Test accuracy in percent, mean ± standard deviation over n seeds. * optimistic: the best test epoch."]
    if any(result["paired_difference"] is not None for result in results):
        says.append("against: the paired difference over the seeds, with its 95 % interval.")
    if changed:
        says.append("Not trained as in the paper: its values are no measure of these.")
    if what.note:
        says.append(what.note)
    return says


def _cells(result: Mapping[str, Any], changed: bool) -> dict[str, str]:
    """What the terminal shows of a row, by column."""
    printed, paired = result["printed"], result["paired_difference"]
    paper = "nan" if printed["exploded"] else _accuracy(printed["test_accuracy"], printed["test_accuracy_std"])
    ours = [_accuracy(result["test_accuracy"], result["test_accuracy_std"])] if result["n"] else []
    ours += [f"{result[what]} {what}" for what in ("nan", "failed") if result[what]]
    comparable = not changed and None not in (printed["test_accuracy"], result["test_accuracy"])
    return {
        "backbone": result["backbone"] if changed else "",
        "paper": paper,
        "ours, last epoch": ", ".join(ours),
        "difference": f"{result['test_accuracy'] - printed['test_accuracy']:+.2f}" if comparable else "",
        "best epoch*": _accuracy(result["best_epoch_test_accuracy"], result["best_epoch_test_accuracy_std"]),
        "n": str(result["n"]),
        "against": "" if paired is None else result["against"],
        "95 %": "" if paired is None else f"{paired['mean']:+.2f} [{paired['low']:+.2f}, {paired['high']:+.2f}]",
        "paper's gain": "" if printed["gain"] is None else f"{printed['gain']:+.2f}",
        "params": f"{result['num_params']:,}",
        "fps": f"{result['fps']:,.0f}",
        "x plain": f"{result['relative_fps']:.2f} x",
        "paper's fps": "" if printed["fps"] is None else f"{printed['fps']:,.0f}",
        "paper's x": "" if printed["relative_fps"] is None else f"{printed['relative_fps']:.2f} x",
    }


def _accuracy(value: float | None, std: float | None) -> str:
    return "" if value is None else f"{value:.2f}" + ("" if std is None else f" ± {std:.2f}")
