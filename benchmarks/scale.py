"""What a search costs beside training as it grows: the driver's own time a trial, with everything on, and no network.

    python -m benchmarks.scale                           # a search of 10,000 trials of 30 epochs
    python -m benchmarks.scale --trials 2000 --without-mlflow
    python -m benchmarks.scale --trials 2000 --without-mlflow --sampler front --workers 64

Trainings are made up and take no time, costs are made up, too; the study is a journal, MLflow a SQLite file, the bar is
drawn. Seconds are the process's own, of all its threads: asking, telling, what the terminal shows, MLflow's copy.
Workers wait, on a simulated clock, for as long as the driver takes to decide, the disk included.
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from pipelines.results.progress_lines import progress_lines
from pipelines.results.search_view import search_view
from pipelines.running import session
from pipelines.running.terms import Terms
from pipelines.settings.objectives import objectives_named
from pipelines.settings.study import Settings
from search.engine import step_seconds
from search.hypervolume import Bounds
from search.ledger import Ledger
from search.proposers import Sampled
from search.replicates import Replicates
from search.simulated_engine import SimulatedEngine
from search.storage import Storage
from search.table import METRIC, Table
from search.trials import Trial
from space.choices import Candidate
from space.cost import Costs
from space.design import Design
from space.seeds import mix_seed
from space.space_files import load_space

EPOCHS, EPOCH_SECONDS = 30, 2.0
WINDOW = 100
"""Trials before each size over which the median is taken."""
SIZES = (200, 2_000, 10_000)
NAME = "scale"


class MadeUp:
    """A training whose accuracy is a number drawn from its design and seed, and that takes no time."""

    def __init__(self, backbone: str, design: Design, seed: int) -> None:
        self._level = 0.6 + mix_seed(0, *str(design).encode()) % 1000 / 10_000 + mix_seed(seed) % 100 / 10_000
        self._epoch = 0

    @property
    def done(self) -> bool:
        """Whether all epochs are trained."""
        return self._epoch == EPOCHS

    def step(self) -> Mapping[str, float]:
        """The next epoch."""
        self._epoch += 1
        accuracy = self._level * (1 - 0.5**self._epoch)
        return {"epoch": float(self._epoch), METRIC: accuracy, "train_loss": 1.0, "seconds": EPOCH_SECONDS}

    def state_dict(self) -> dict[str, Any]:
        """How far it is."""
        return {"epoch": self._epoch}

    def halve_batches(self) -> None:
        """It has none."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._epoch = state["epoch"]


class Seconds:
    """Observes a ledger: the seconds of the process at the end of each trial."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def started(self, trial: Trial) -> None:
        """Counted at its end."""

    def reported(self, trial: Trial) -> None:
        """Likewise."""

    def finished(self, trial: Trial) -> None:
        """Note the time."""
        self.ends.append(time.process_time())

    def a_trial(self, size: int) -> list[float]:
        """Of the last trials before there were so many."""
        ends = self.ends[size - WINDOW - 1 : size]
        return [later - earlier for earlier, later in pairwise(ends)]


def made_up_settings() -> Settings:
    """A study of the default task in a space of tens of thousands of designs."""
    settings = Settings.from_json(Table.load(Path(__file__).with_name("digits.npz")).settings)
    space = load_space("full", settings.layouts)
    return replace(settings, space=space.to_dict(), space_name="full", table=None)


def made_up_costs(candidate: Candidate) -> Costs:
    """Numbers drawn from its design."""
    drawn = mix_seed(1, *str(candidate[1]).encode())
    return {"num_params": 220_000 + drawn % 50_000, "fps": 4_000.0 + drawn // 50_000 % 2_000}


def search(storage: Storage, settings: Settings, said: argparse.Namespace) -> tuple[Seconds, float]:
    """Run it, in the current folder; returns the share of their time that the workers train, too."""
    objectives = objectives_named(settings.objectives)
    space = settings.search_space
    costs = {it: made_up_costs(it) for it in dict.fromkeys([space.plain(), *space.enumerate()])}
    bounds = Bounds.of(objectives, costs.values())
    founding = {"settings": settings.to_json(), "uid": NAME, "costs": {}, "bounds": bounds.to_json()}
    images = settings.images["val"]
    seconds = Seconds()
    with storage.writing(NAME, objectives.directions, founding) as study:
        again = Replicates(share=said.confirm, objectives=objectives, images=images, seed=0)
        proposer = Sampled(space, costs, (), said.sampler, 0, objectives, again)
        ledger = Ledger(study, proposer, said.trials)
        ledger.observe(seconds)
        engine = SimulatedEngine(said.workers, time.perf_counter, step_seconds(said.workers))
        session.run(
            ledger,
            engine,
            MadeUp,
            storage.folder(NAME),
            search_view(NAME, NAME, settings, bounds, said.sampler, ()),
            storage=storage,
            terms=Terms(),
            lines=lambda trials: progress_lines(trials, bounds, images),
            tracked=not said.without_mlflow,
        )
    return seconds, engine.busy


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=SIZES[-1])
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--confirm", type=float, default=0.3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--without-mlflow", action="store_true")
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["FORCE_COLOR"] = "1"  # rich draws as for a terminal; nobody looks at this one
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            seconds, busy = search(Storage(), made_up_settings(), said)
    for size in SIZES:
        if size <= len(seconds.ends):
            each = sorted(seconds.a_trial(size))
            median, mean, most = (1e3 * it for it in (statistics.median(each), statistics.fmean(each), each[-1]))
            print(f"{size:6,} trials: median {median:6.1f}, mean {mean:6.1f}, most {most:6.1f} ms a trial")
    print(f"{said.workers:,} workers, trials of {EPOCHS * EPOCH_SECONDS:.0f} s: busy {busy:.1%} of the time")
