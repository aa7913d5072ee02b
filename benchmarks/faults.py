"""Searches that are hit at random moments, and what is left of them when the same command has ended.

    python -m benchmarks.faults driver --faults 50              # SIGKILL of the launch
    python -m benchmarks.faults worker --faults 20              # SIGKILL of a worker of Ray
    python -m benchmarks.faults power  --faults 20              # SIGKILL, and the journal's last lines are lost

A search is launched and hit at a random moment, again and again, until its command ends by itself. Then its budget is
to be trained exactly, each design once but for replicates, with no trial running or failed, each one in MLflow exactly
once, nothing left over, and, where one worker makes its order certain, the front of a search that nothing hit.
"""

import argparse
import contextlib
import json
import math
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from benchmarks.in_turns import machine
from pipelines.tracking.runs import EXPERIMENT
from search.checkup import findings
from search.on_ray.engine import RESTARTS
from search.storage import Storage

ROOT = Path(__file__).parents[1]
SEARCH = (sys.executable, "-c", "from pipelines.cli import main; main()")
STUDY, BUDGET = "hit", 12
SPACE = """attention = ["none", "se", "ras", "eca"]
stages = ["all", "last"]
[se]
reduction = [4, 8, 16]
[ras]
depth = [1, 2, 3]
"""
LOST_BYTES = 4_000
"""Of a journal, at most, when the power fails."""
STEP_SECONDS, SOON_SECONDS = 0.02, 1.0
WORKERS = b"ray::_Worker", b"ray::ResourceTrainable"
"""What Ray calls them between two trainings, and in one."""
OFTEN = 2
"""So many workers, about, are lost while a search would last."""


@dataclass
class Tally:
    """What a campaign came to.

    Attributes:
        searches: run to their end.
        faults: that hit one.
        lost: designs that a search lacks.
        doubled: designs trained twice, and trials that MLflow has twice.
        wrong: what else was not as it should be, a line each.
        back: seconds from typing the command again until it wrote.
    """

    searches: int = 0
    faults: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: list[str] = field(default_factory=list)
    back: list[float] = field(default_factory=list)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A current folder for one search."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        there = Path(name)
        (there / "space.toml").write_text(SPACE)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{there}/mlflow.db"
        yield there


def launched(there: Path, engine: str) -> subprocess.Popen[bytes]:
    """The search, begun or taken up."""
    engines = ("--engine", engine, *(("--workers", "2") if engine == "ray" else ()))
    sizes = ("--budget", str(BUDGET), "--epochs", "2", "--objectives", "accuracy,params")
    command = [*SEARCH, "launch", "--study", STUDY, "--space", "space.toml", *sizes, *engines]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (there / "said.txt").open("ab") as said:
        return subprocess.Popen(command, cwd=there, env=environment, stdout=said, stderr=said)


def kill_driver(process: subprocess.Popen[bytes], there: Path, moment: random.Random) -> bool:
    """End the launch; returns whether it was hit, and had not just ended by itself."""
    process.kill()
    return process.wait() == -signal.SIGKILL


def kill_worker(process: subprocess.Popen[bytes], there: Path, moment: random.Random) -> bool:
    """End one of its workers, in a training or between two, soon after there is one; the launch goes on."""
    while process.poll() is None:
        time.sleep(moment.uniform(0.0, SOON_SECONDS))
        workers = [pid for pid in below(process.pid) if name_of(pid).startswith(WORKERS)]
        with contextlib.suppress(IndexError, ProcessLookupError):  # there is none, or none any more
            os.kill(moment.choice(workers), signal.SIGKILL)
            return True
    return False


def fail_power(process: subprocess.Popen[bytes], there: Path, moment: random.Random) -> bool:
    """End the launch, and lose what the journal was told last."""
    killed = kill_driver(process, there, moment)
    journal = there / "runs" / STUDY / "journal.log"
    if killed and journal.exists():
        size = journal.stat().st_size
        os.truncate(journal, max(0, size - moment.randrange(LOST_BYTES)))
    return killed


FAULTS: dict[str, tuple[str, Callable[[subprocess.Popen[bytes], Path, random.Random], bool]]] = {
    "driver": ("local", kill_driver),
    "ray-driver": ("ray", kill_driver),
    "worker": ("ray", kill_worker),
    "power": ("local", fail_power),
}
"""By name: the engine, and what is done."""


def name_of(pid: int) -> bytes:
    """Of a process; empty if it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def below(pid: int) -> list[int]:
    """Processes that descend from this one."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended meanwhile
    found = [pid]
    for parent in found:
        found += [child for child, its in parents.items() if its == parent]
    return found[1:]


def size_of(there: Path) -> int:
    """Of the journal."""
    journal = there / "runs" / STUDY / "journal.log"
    return journal.stat().st_size if journal.exists() else 0


def hit(there: Path, fault: str, tally: Tally, moment: random.Random, lasts: float) -> None:
    """Launch it, and hit it at moments of those that a search lasts, until it ends by itself."""
    engine, strike = FAULTS[fault]
    killed, hits = False, 0
    most = RESTARTS if strike is kill_worker else math.inf  # a trial that loses more fails, and that is right
    while True:
        process, begun, before = launched(there, engine), time.monotonic(), size_of(there)
        while process.poll() is None:
            at = time.monotonic() + moment.uniform(0.0, lasts if strike is not kill_worker else lasts / OFTEN)
            while process.poll() is None and time.monotonic() < at:
                time.sleep(STEP_SECONDS)
                if killed and size_of(there) > before:
                    killed = False
                    tally.back.append(time.monotonic() - begun)
            if process.poll() is None and hits < most and strike(process, there, moment):
                hits += 1
        killed = process.returncode == -signal.SIGKILL
        if not killed:
            break
    tally.faults += hits
    if process.returncode != 0:
        tally.wrong.append(f"exit code {process.returncode}: {(there / 'said.txt').read_text()[-500:]}")


def judge(there: Path, tally: Tally, expected: Any) -> None:
    """Look at what is left of a search."""
    storage = Storage(str(there / "runs"))
    trials = storage.read(STUDY).trials
    designs = Counter((trial.job.candidate, trial.job.replicate) for trial in trials if trial.trained)
    tally.lost += BUDGET - sum(not replicate for _, replicate in designs)
    tally.doubled += sum(count - 1 for count in designs.values())
    if others := {trial.state.value for trial in trials if not trial.trained} - {"duplicate", "infeasible"}:
        tally.wrong.append(f"trials are {', '.join(others)}")
    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1_000)
    there_once = Counter(run.data.tags["trial"] for run in runs if "trial" in run.data.tags)
    wanted = {str(trial.number) for trial in trials if trial.trained}
    tally.doubled += sum(count - 1 for count in there_once.values())
    if there_once.keys() != wanted:
        tally.wrong.append(f"MLflow has the trials {sorted(there_once)}, the study {sorted(wanted)}")
    if unended := [run.info.status for run in runs if run.info.status != "FINISHED"]:
        tally.wrong.append(f"{len(unended)} runs of MLflow are {', '.join(set(unended))}")
    tally.wrong += [finding.says for finding in findings(storage, STUDY)]
    if expected is not None and (found := front(there)) != expected:
        tally.wrong.append(f"its front is {found}, not {expected}")


def front(there: Path) -> Any:
    """The search's front, but for what MLflow calls its trials."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [*SEARCH, "front", STUDY, "--json"]
    said = subprocess.run(command, cwd=there, env=environment, check=True, capture_output=True).stdout
    return json.loads(said, object_hook=lambda row: {key: it for key, it in row.items() if key != "mlflow_run_id"})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fault", choices=FAULTS)
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    said = parser.parse_args()
    engine, _ = FAULTS[said.fault]
    with folder() as there:
        begun = time.monotonic()
        assert launched(there, engine).wait() == 0, (there / "said.txt").read_text()
        lasts = time.monotonic() - begun
        expected = front(there) if engine == "local" else None
    tally, moment = Tally(), random.Random(said.seed)
    while tally.faults < said.faults:
        told = len(tally.wrong)
        with folder() as there:
            hit(there, said.fault, tally, moment, lasts)
            judge(there, tally, expected)
        tally.searches += 1
        for line in [f"{tally.searches} searches, {tally.faults} faults", *tally.wrong[told:]]:
            print(line, file=sys.stderr, flush=True)
    print(machine())
    back = f"{statistics.median(tally.back):.1f}" if tally.back else "-"
    print(f"{'fault':12}{'searches':>10}{'faults':>8}{'lost':>6}{'doubled':>9}{'wrong':>7}{'s to write again':>18}")
    counts = f"{tally.searches:10}{tally.faults:8}{tally.lost:6}{tally.doubled:9}{len(tally.wrong):7}"
    print(f"{said.fault:12}{counts}{back:>18}")
    sys.exit(1 if tally.lost or tally.doubled or tally.wrong else 0)
