"""What a table of curves says by itself, over all of its seeds: how far it tells designs apart, and which are best.

python -m benchmarks.describe_table                         # of benchmarks/digits.npz
python -m benchmarks.describe_table --effect start          # of one choice, for each attention, everything else equal
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau, t

from benchmarks.search_scores import Array, reliability, variances
from search.table import Table
from space.design import Design

DIGITS = Path(__file__).with_name("digits.npz")


def complete(table: Table) -> tuple[list[Design], Array]:
    """The D designs none of whose trainings failed, and their curves (D, N, epochs)."""
    whole = np.flatnonzero(np.isfinite(table.val_accuracy).all(axis=(1, 2)))
    return [table.designs[row] for row in whole], table.val_accuracy[whole].astype(float)


def mean_and_half_width(differences: Array) -> tuple[Array, Array]:
    """Of differences (..., N) between trainings under the same seeds: means, and half of their 95 % intervals."""
    seeds = differences.shape[-1]
    return differences.mean(-1), t.ppf(0.975, seeds - 1) * differences.std(-1, ddof=1) / seeds**0.5


def describe(table: Table) -> None:
    """Reliabilities, what rungs foretell, the share of designs that are better than plain, and the true fronts."""
    designs, curves = complete(table)
    scores = curves[:, :, -1]
    count, seeds, epochs = curves.shape
    worst = designs[scores.mean(1).argmin()].attention
    but_worst = [row for row, design in enumerate(designs) if design.attention != worst]
    for what, some in (("all designs", scores), (f"without {worst}", scores[but_worst])):
        between, within = variances(some)
        print(
            f"{what}: between {100 * between**0.5:.2f}, within {100 * within**0.5:.2f} points; reliability of one seed "
            f"{reliability(some):.2f}, of the mean of {seeds // 2} {reliability(some, seeds // 2):.2f}"
        )
    for epoch in range(epochs):
        found = [kendalltau(curves[:, seed, epoch], scores[:, seed])[0] for seed in range(seeds)]
        print(f"epoch {epoch + 1}: Kendall's correlation with the end {sum(found) / seeds:.2f}")
    plain = designs.index(Design())
    mean, half = mean_and_half_width(scores - scores[plain])
    print(f"{count} designs, {seeds} seeds; plain {100 * scores[plain].mean():.1f} %")
    print(f"better than plain: {(mean > 0).mean():.2f} by the mean, {(mean - half > 0).mean():.2f} by the interval")
    for key, sign in (("num_params", -1.0), ("fps", 1.0)):
        best = -1.0
        print(f"front of {key}:")
        costs = {design: sign * table.costs_of(design)[key] for design in designs}
        for row in sorted(range(count), key=lambda row: (-costs[designs[row]], -mean[row])):
            if mean[row] > best:
                best = mean[row]
                print(f"  {designs[row]!s:45} {_points(mean[row], half[row])}")


def describe_effect(table: Table, choice: str) -> None:
    """What each value of a choice does over the default, averaged over the pairs of designs alike in all else."""
    designs, curves = complete(table)
    scores = {design: curves[row, :, -1] for row, design in enumerate(designs)}
    pairs = defaultdict(list)
    for design in designs:
        default = Design(design.attention, **{**dict(design.choices), choice: None})
        if default != design and default in scores:
            pairs[f"{design.attention}, {choice}={design.get(choice)}"].append(scores[design] - scores[default])
    for what, differences in pairs.items():
        mean, half = mean_and_half_width(np.mean(differences, axis=0))
        print(f"{what:20} {_points(mean.item(), half.item())}   {len(differences)} pairs, n = {table.seeds}")


def _points(mean: float, half: float) -> str:
    return f"{100 * mean:+.1f} [{100 * (mean - half):+.1f}, {100 * (mean + half):+.1f}]"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=DIGITS)
    parser.add_argument("--effect", help="of this choice alone, such as start")
    said = parser.parse_args()
    table = Table.load(said.table)
    if said.effect is None:
        describe(table)
    else:
        describe_effect(table, said.effect)
