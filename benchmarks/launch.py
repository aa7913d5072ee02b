"""Wall time a trial of a search, beside the loop that people write by hand and stock Ray Tune.

    python -m benchmarks.launch --trials 40 --repetitions 5

All train ResNet11 for nine epochs on 200 of scikit-learn's digits and judge 798 after each, every trial in full, but
with ASHA: ours by `search launch --dataset digits --engine ray` in a folder of its own, without replicates, its costs
measured before; the others by benchmarks/peer_optuna.py and benchmarks/peer_ray.py. They take turns, each as a program
of its own, from start to end; what a program needs to start is seen from its runs with few trials, and told apart.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.in_turns import machine

FEW = 2
"""Trials of a run that shows what a program takes to start."""
SPACE = """attention = ["none", "se", "ras", "dia"]
depth = [1]
stages = ["all", "last"]
start = ["published", "unit"]
[se]
reduction = [2, 4, 8, 16, 32]
[dia]
reduction = [2, 4, 8, 16, 32]
"""
ROOT = Path(__file__).parents[1]


SEARCH = "from pipelines.cli import main; main()"
CALIBRATE = ("calibrate", "--space", "space.toml", "--backbone", "resnet11", "--channels", "1", "--image-size", "8")
LAUNCH = ("launch", "--dataset", "digits", "--backbone", "resnet11", "--epochs", "9", "--space", "space.toml")
LAUNCH_ALONE = ("--confirm", "0", "--device-file", "device.json", "--engine", "ray")


def seconds(way: str, trials: int) -> float:
    """Of one program from its start to its end."""
    commands = {
        "ours": ["-c", SEARCH, *LAUNCH, *LAUNCH_ALONE, "--budget", str(trials)],
        "Optuna by hand": ["-m", "benchmarks.peer_optuna", str(trials)],
        "Ray Tune": ["-m", "benchmarks.peer_ray", str(trials)],
        "Ray Tune, ASHA": ["-m", "benchmarks.peer_ray", str(trials), "asha"],
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "space.toml").write_text(SPACE)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
        run = partial(subprocess.run, check=True, cwd=folder, env=environment, capture_output=True)
        if way == "ours":
            run([sys.executable, "-c", SEARCH, *CALIBRATE])
        begun = time.perf_counter()
        run([sys.executable, *commands[way]])
        return time.perf_counter() - begun


OURS = "ours"
WAYS = (OURS, "Optuna by hand", "Ray Tune", "Ray Tune, ASHA")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--peers", nargs="*", choices=WAYS[1:], default=WAYS[1:], help="that ours takes turns with")
    given = parser.parse_args()
    ways = (OURS, *given.peers)

    full: dict[str, list[float]] = {way: [] for way in ways}
    few: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(given.repetitions):
        for way in ways[:: -1 if turn % 2 else 1]:
            few[way].append(seconds(way, FEW))
            full[way].append(seconds(way, given.trials))
            print(f"{way}: {full[way][-1]:.1f} s for {given.trials} trials, {few[way][-1]:.1f} s for {FEW}", flush=True)
    print(machine())
    print(f"{given.trials} trials, n = {given.repetitions}; seconds a trial, medians")
    print(f"{'':16}{'in all':>10}{'ours by it':>12}{'without its start':>20}{'ours by it':>12}")
    whole = {way: statistics.median(each) / given.trials for way, each in full.items()}
    more = {
        way: statistics.median((a - b) / (given.trials - FEW) for a, b in zip(full[way], few[way], strict=True))
        for way in ways
    }
    for way in ways:
        ratios = [of[OURS] / of[way] for of in (whole, more)]
        print(f"{way:16}{whole[way]:10.2f}{ratios[0]:12.2f}{more[way]:20.2f}{ratios[1]:12.2f}")
