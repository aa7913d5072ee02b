"""Searches beside each other on a table of recorded curves, scored by trainings that none of them saw.

    python -m benchmarks.search                                 # ours and Optuna's: 50 searches each
    python -m benchmarks.search --methods gp --searches 10
    python -m benchmarks.search --methods moasha,morea --syne-tune ENVIRONMENT/bin/python --searches 10
    python -m benchmarks.search --show                          # the results that are kept
    python -m benchmarks.search --ceiling                       # what no search can be above

Each search has the epochs of 100 full trainings, one worker, and sees half of the seeds. All methods get the same plain
network first, the same removal of duplicates, and report the front of what they saw. Results are kept in
benchmarks/results/, a JSON file a method. Syne Tune comes with the extra `bench`, or has its own environment.
"""

import argparse
import json
import multiprocessing
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from rich.console import Console
from rich.table import Table as Screen

from benchmarks.search_methods import DEFAULT, METHODS, SLOW, TRAININGS, Ground
from benchmarks.search_scores import calibration, with_interval
from pipelines.results.fronts import rows
from search.table import Table
from search.trials import Trial
from space.design import Design

HERE = Path(__file__).parent
CHECKED_EVERY = 5
"""Full trainings between two looks at what a search would report."""


def ceiling(path: Path, seed: int) -> float:
    """True quality of a search that has trained everything."""
    ground = Ground(_loaded(path), seed)
    return ground.truth.quality(ground.fronts(ground.everything()))


def without_noise(path: Path, seed: int, count: int) -> float:
    """True quality of who draws so many designs and knows what they truly come to."""
    truth = Ground(_loaded(path), seed).truth
    return truth.share(random.Random(seed).sample(sorted(truth.accuracy, key=str), count))


def score(path: Path, name: str, seed: int, syne_tune: str) -> dict[str, Any]:
    """One search and what it is worth."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ground = Ground(_loaded(path), seed, syne_tune)
    began = time.perf_counter()
    trials = ground.search(METHODS[name])
    seconds = time.perf_counter() - began
    looks = range(CHECKED_EVERY, TRAININGS + 1, CHECKED_EVERY)
    qualities = [round(ground.truth.quality(ground.fronts(_within(trials, look * ground.epochs))), 4) for look in looks]
    params = ground.fronts(trials)[0]
    first = params[0] if params else Design()
    complete = rows(trials, {}, ground.objectives, ground.images)
    designs = [(row, Design.parse(row.design)) for row in complete if not row.plain]
    reported = [
        (row.p_better or 0.0, row.n, ground.truth.gain(it)) for row, it in designs if it in ground.truth.accuracy
    ]
    return {
        "seed": seed,
        "quality": qualities,
        "regret": ground.truth.regret(first),
        "gain": ground.truth.gain(first),
        "calibration": calibration(reported),
        "designs": len(complete),
        "epochs": sum(len(trial.history) for trial in trials),
        "decision_seconds": seconds,
    }


_TABLES: dict[Path, Table] = {}


def _loaded(path: Path) -> Table:
    return _TABLES.setdefault(path, Table.load(path))


def _within(trials: Sequence[Trial], epochs: int) -> list[Trial]:
    """The trials that so many epochs in all are enough for."""
    found, used = [], 0
    for trial in trials:
        used += len(trial.history)
        if used > epochs:
            break
        found.append(trial)
    return found


def summary(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of the searches of one method: medians with intervals, shares, calibration."""
    counts = {name: sum(result["calibration"][name] for result in results) for name in results[0]["calibration"]}
    return {
        "searches": len(results),
        "quality": with_interval(np.median, [result["quality"][-1] for result in results]),
        "regret": with_interval(np.median, [result["regret"] for result in results]),
        "first_better": sum(result["gain"] > 0 for result in results) / len(results),
        "designs": with_interval(np.median, [result["designs"] for result in results])[0],
        "seconds": with_interval(np.median, [result["decision_seconds"] for result in results])[0],
        **counts,
    }


def trainings_until(results: Sequence[Mapping[str, Any]], level: float) -> int | None:
    """After how many trainings the median quality reaches a level."""
    for place, at_once in enumerate(zip(*(result["quality"] for result in results), strict=True)):
        if with_interval(np.median, at_once)[0] >= level:
            return (place + 1) * CHECKED_EVERY
    return None


def lead(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> tuple[float, float, float]:
    """By how much the final quality of ours is above theirs: the mean over pairs of searches of one seed, and interval.

    Nan where there is no such pair.
    """
    quality = {result["seed"]: result["quality"][-1] for result in theirs}
    paired = [it["quality"][-1] - quality[it["seed"]] for it in ours if it["seed"] in quality]
    return with_interval(np.mean, paired or [float("nan")])


def show(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """All methods beside each other."""
    summaries = {name: summary(results) for name, results in found.items()}
    peers = [name for name in summaries if not name.startswith("front")]
    level = max((summaries[name]["quality"][0] for name in peers), default=float("nan"))
    screen = Screen(
        "method",
        "n",
        "true quality",
        "default is above",
        "regret, points",
        "first better",
        f"until {level:.2f}",
        "designs",
        "p >= .9 true",
        "found",
        "s",
    )
    for name, it in summaries.items():
        quality, regret = (
            "{:.2f} [{:.2f}, {:.2f}]".format(*it["quality"]),
            "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * value for value in it["regret"])),
        )
        sure = f"{it['sure_and_better']:,} of {it['sure']:,}"
        better = f"{it['better_and_sure']:,} of {it['better']:,}"
        until = trainings_until(found[name], level)
        screen.add_row(
            name,
            str(it["searches"]),
            quality,
            "{:+.3f} [{:+.3f}, {:+.3f}]".format(*lead(found[DEFAULT], found[name])) if DEFAULT in found else "",
            regret,
            f"{it['first_better']:.2f}",
            str(until or "-"),
            f"{it['designs']:.0f}",
            sure,
            better,
            f"{it['seconds']:.1f}",
        )
    Console(width=170).print(screen)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=HERE / "digits.npz")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    quick = [name for name, it in METHODS.items() if not it.peer and name not in SLOW]
    parser.add_argument("--methods", default=",".join(quick))
    parser.add_argument("--searches", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1000, help="of the first search; methods were tuned on lower ones")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--syne-tune", default="python", help="of an environment that has it")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--ceiling", action="store_true", help="what a search comes to that has trained everything")
    said = parser.parse_args()
    if said.ceiling:
        seeds = range(said.seed, said.seed + said.searches)
        found = {"after all trainings": [ceiling(said.table, seed) for seed in seeds]}
        for count in (20, 30, 50, 70):
            found[f"of {count} designs without noise"] = [without_noise(said.table, seed, count) for seed in seeds]
        for of_what, qualities in found.items():
            print("true quality {}: {:.2f} [{:.2f}, {:.2f}]".format(of_what, *with_interval(np.median, qualities)))
    elif not said.show:
        said.results.mkdir(exist_ok=True)
        with multiprocessing.get_context("spawn").Pool(said.processes) as pool:
            for name in said.methods.split(","):
                seeds = range(said.seed, said.seed + said.searches)
                jobs = [(said.table.absolute(), name, seed, said.syne_tune) for seed in seeds]
                kept = pool.starmap(score, jobs, chunksize=1)
                (said.results / f"{name}.json").write_text(
                    json.dumps({"method": asdict(METHODS[name]), "searches": kept})
                )
    files = {path.stem: json.loads(path.read_text())["searches"] for path in said.results.glob("*.json")}
    show({name: files[name] for name in METHODS if name in files})
