"""Asynchronous successive halving for several objectives: designs that promise little are stopped at a rung.

At a rung a design is set against all that have reached it by then, so nobody waits for anybody. Of these n it goes on
if fewer than n / eta are ahead of it:

    first by layers: points of accuracy so far and exact costs, the plain network's among them, sorted by dominance
    then by what a point adds to its layer: its own part of the layer's gain hypervolume

All first trainings of a search have the same seed, so each is paired with the plain network's.

Li et al.: A system for massively parallel hyperparameter tuning, MLSys 2020 (ASHA); Schmucker et al.: Multi-objective
asynchronous successive halving, arXiv:2106.12639.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from search import pareto
from search.designs import plain_begun
from search.hypervolume import Bounds
from search.trials import State, Trial

COMPARED = (State.RUNNING, State.COMPLETE, State.STOPPED)


def rungs_of(fractions: Sequence[float], epochs: int) -> tuple[int, ...]:
    """After which epochs trials are judged.

    Args:
        fractions: of a whole training.
        epochs: of a whole training.
    """
    rounded = {max(1, round(fraction * epochs)) for fraction in fractions}
    return tuple(sorted(epoch for epoch in rounded if epoch < epochs))


def expected_share(rungs: Sequence[int], reduction_factor: float, epochs: int) -> float:
    """Of a whole training what a design trains on average, if 1 / eta of those at each rung goes on."""
    legs = pairwise((0, *rungs, epochs))
    return sum((end - begin) / reduction_factor**passed for passed, (begin, end) in enumerate(legs)) / epochs


@dataclass(frozen=True, kw_only=True)
class Halving:
    """Judges trials at rungs, by nothing but the trials of the study.

    Attributes:
        bounds: metric, costs and scales of the study.
        rungs: epochs after which a trial is judged.
        reduction_factor: eta, above 1.
    """

    bounds: Bounds
    rungs: tuple[int, ...]
    reduction_factor: float

    def __call__(self, trial: Trial, trials: Sequence[Trial]) -> bool | None:
        """Whether a running trial, no replicate, goes on after its last report; None where that is at no rung.

        Args:
            trial: one of `trials`; the plain network always goes on.
            trials: of the study.
        """
        rung = int(trial.last["epoch"])
        if rung not in self.rungs:
            return None
        plain = plain_begun(trials)
        if trial.job.candidate == plain:
            return True
        there = [it for it in trials if self._reached(it, rung)]
        place = next((place for place, it in enumerate(there) if it.number == trial.number), None)
        if place is None:  # its score is no number: its end will tell
            return True
        scores = [self._score(it, rung) for it in there]
        reference = next((s for s, it in zip(scores, there, strict=True) if it.job.candidate == plain), min(scores))
        points = self.bounds.points(scores, [it.job.costs for it in there])
        layers = pareto.layers(points)
        room = max(1, math.ceil(len(there) / self.reduction_factor - 1e-9)) - int((layers < layers[place]).sum())
        peers = [peer for peer, layer in enumerate(layers) if layer == layers[place]]
        if not 0 < room < len(peers):
            return room > 0
        adds = pareto.contributions(self.bounds.scaled(points[peers], reference))
        order = sorted(
            range(len(peers)), key=lambda peer: (-adds[peer], -scores[peers[peer]], there[peers[peer]].number)
        )
        return peers.index(place) in order[:room]

    def _reached(self, trial: Trial, rung: int) -> bool:
        """Whether a trial is one to be compared with there."""
        alive = trial.state in COMPARED and not trial.job.replicate
        return alive and len(trial.history) >= rung and math.isfinite(self._score(trial, rung))

    def _score(self, trial: Trial, rung: int) -> float:
        return trial.history[rung - 1].get(self.bounds.objectives.metric, math.nan)
