"""What came out of designs trained under several seeds each, against the plain network under the same seeds."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table
from scipy import stats

from pipelines.results.fronts import costs_json
from pipelines.results.glance import figures
from pipelines.results.tables import cost_cells, result_table
from pipelines.terminal.formats import show_interval, show_metric
from search.objectives import Objectives
from search.trials import State, Trial
from space.choices import Candidate

CONFIDENCE = 0.95
"""Of all intervals that are shown together: by Bonferroni the error of each is its share of the rest."""


@dataclass(frozen=True)
class Difference:
    """A mean of paired differences with its interval by Student's t.

    Attributes:
        mean: of ours minus theirs.
        low: lower end of the interval.
        high: upper end.
        pairs: seeds that both were trained under.
        comparisons: intervals that hold together with 95 % confidence, this one among them.
    """

    mean: float
    low: float
    high: float
    pairs: int
    comparisons: int = 1


def paired_difference(
    ours: Mapping[int, float], theirs: Mapping[int, float], comparisons: int = 1
) -> Difference | None:
    """Ours minus theirs by seed; None with fewer than two seeds in common, which say nothing about the spread.

    Args:
        ours: scores by seed.
        theirs: likewise.
        comparisons: differences that are looked at together; the more, the wider the interval (Bonferroni).
    """
    differences = [value - theirs[seed] for seed, value in ours.items() if seed in theirs]
    count = len(differences)
    if count < 2:
        return None
    mean = statistics.fmean(differences)
    tail = (1 - CONFIDENCE) / comparisons / 2
    half = float(stats.t.isf(tail, count - 1)) * statistics.stdev(differences) / math.sqrt(count)
    return Difference(mean, mean - half, mean + half, count, comparisons)


def summarise(trials: Sequence[Trial], candidates: Sequence[Candidate], objectives: Objectives) -> list[dict[str, Any]]:
    """For each design that trained to the end the metric over its seeds, and what it gains on the first one.

    The intervals of all the designs hold together.

    Args:
        trials: one for each training.
        candidates: designs, the plain one first.
        objectives: their metric counts, and their costs are told.
    """
    metric = objectives.metric
    scores: dict[Candidate, dict[int, float]] = {candidate: {} for candidate in candidates}
    costs = {trial.job.candidate: trial.job.costs for trial in trials}
    for trial in trials:
        if trial.state is State.COMPLETE and trial.job.candidate in scores:
            scores[trial.job.candidate][trial.job.seed] = trial.last[metric]
    plain, plain_scores = candidates[0], scores[candidates[0]]
    results = []
    for candidate, by_seed in scores.items():
        if not by_seed:
            continue
        paired = None if candidate == plain else paired_difference(by_seed, plain_scores, len(scores) - 1)
        gains = [score - plain_scores[seed] for seed, score in by_seed.items() if seed in plain_scores]
        results.append(
            {
                "backbone": candidate[0],
                "design": str(candidate[1]),
                "n": len(by_seed),
                metric: statistics.fmean(by_seed.values()),
                f"{metric}_std": statistics.stdev(by_seed.values()) if len(by_seed) > 1 else None,
                "by_seed": by_seed,
                "gain": statistics.fmean(gains) if gains else None,
                "paired_difference": asdict(paired) if paired else None,
                "verdict": verdict(paired) if paired else None,
                **costs_json(objectives.costs, costs[candidate], costs.get(plain)),
            }
        )
    return results


def every_result(trials: Sequence[Trial], plain: Candidate, objectives: Objectives) -> list[dict[str, Any]]:
    """The same of every design that there are trials of, whichever command asked for it, the plain one first."""
    return summarise(trials, list(dict.fromkeys([plain, *(trial.job.candidate for trial in trials)])), objectives)


def trial_figures(
    trials: Sequence[Trial], plain: Candidate | None, objectives: Objectives
) -> dict[int, dict[str, float]]:
    """What lists of runs show of each complete training, by trial; gains are over plain under the same seed."""
    metric = objectives.metric
    complete = [trial for trial in trials if trial.state is State.COMPLETE]
    plain_scores = {trial.job.seed: trial.last[metric] for trial in complete if trial.job.candidate == plain}
    shown = {}
    for trial in complete:
        score, rival = trial.last[metric], plain_scores.get(trial.job.seed)
        gain = None if rival is None else score - rival
        shown[trial.number] = figures(objectives, score, gain, trial.job.costs)
    return shown


def best_figures(results: Sequence[Mapping[str, Any]], objectives: Objectives) -> dict[str, float]:
    """What lists of runs show of the design with the best mean."""
    if not results:
        return {}
    best = max(results, key=lambda result: result[objectives.metric])
    return figures(objectives, best[objectives.metric], best["gain"], best)


def verdict(difference: Difference) -> str:
    """Better, worse, or indistinguishable where the interval holds zero."""
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "indistinguishable"


def paired_verdict(results: Sequence[Mapping[str, Any]]) -> str:
    """Which designs are better than plain and which worse, in a sentence; `results` as `summarise` gives them."""
    judged = [result for result in results if result["verdict"] is not None]
    if not judged:
        return "Nothing is known yet of how designs differ from plain: that takes two seeds of each."
    says = []
    for verdict in ("better", "worse"):
        alike = [f"`{r['design']}` {show_difference(r)}" for r in judged if r["verdict"] == verdict]
        if alike:
            says.append(f"{verdict} than plain: {', '.join(alike)}")
    count = sum(result["verdict"] == "indistinguishable" for result in judged)
    if count:
        says.append(f"indistinguishable from plain: {count} of {len(judged)} designs")
    sentence = "; ".join(says)
    return f"{sentence[0].upper()}{sentence[1:]}."


def paired_table(results: Sequence[Mapping[str, Any]], objectives: Objectives, title: str, score: str) -> Table:
    """Results as `summarise` gives them, beside plain.

    Args:
        results: of the designs.
        objectives: of these.
        title: of the table.
        score: what the metric is of, such as `test`.
    """
    metric = objectives.metric
    several = len({result["backbone"] for result in results}) > 1
    table = result_table(title, objectives.costs, "n", f"{score} {show_metric(metric)}", "difference (95 %)")
    table.add_column("verdict", no_wrap=True)
    for result in results:
        table.add_row(
            str(result["n"]),
            show_score(result, metric),
            show_difference(result),
            *cost_cells(objectives.costs, result),
            f"{result['backbone']} {result['design']}" if several else result["design"],
            result["verdict"] or "",
        )
    return table


def explanation(results: Sequence[Mapping[str, Any]]) -> str:
    """What the numbers of a table of results mean."""
    together = max((r["paired_difference"]["comparisons"] for r in results if r["paired_difference"]), default=1)
    held = (
        "its 95 % interval is" if together <= 1 else f"the {together} intervals hold together with 95 % (Bonferroni),"
    )
    return (
        f"± is the standard deviation over n seeds. A difference to plain is paired by seed; {held} by Student's t. "
        "Better or worse is what has its interval on one side of 0; that is on this split, not on other data."
    )


def show_score(result: Mapping[str, Any], metric: str) -> str:
    """Mean and standard deviation, in percent."""
    spread = result[f"{metric}_std"]
    return f"{100 * result[metric]:.1f}" + ("" if spread is None else f" ± {100 * spread:.1f}") + " %"


def show_difference(result: Mapping[str, Any]) -> str:
    """The paired difference to plain with its interval, in percentage points; the bare gain of a single seed."""
    paired, gain = result["paired_difference"], result["gain"]
    if paired is not None:
        return show_interval(paired["mean"], paired["low"], paired["high"])
    return "" if gain is None or result["design"] == "none" else f"{100 * gain:+.1f}"
