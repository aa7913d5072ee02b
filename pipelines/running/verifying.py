"""What the parts of networks predict, beside networks that are measured as a whole."""

import random
import statistics
from collections.abc import Sequence

from rich.table import Table

from pipelines.terminal.console import print_json, stderr, stdout
from space import Design, UserError
from space.backbones import Backbone
from space.build import build
from space.space_files import PRESETS, load_space
from trainers.costs import MeasuredCost
from trainers.costs.cost import find_cost
from trainers.deployment import Deployment
from trainers.task import Task

DESIGNS = 30
PLAIN = Design()


def verify(
    cost_name: str, backbone: Backbone, designs: Sequence[Design], task: Task, deployment: Deployment, *, as_json: bool
) -> None:
    """Measure networks as a whole, in turns with the plain one, and print that beside what their parts predict.

    Args:
        cost_name: of a cost that is measured.
        backbone: of the networks.
        designs: of the networks; none for some of the small space.
        task: what they are for.
        deployment: how they run.
        as_json: whether JSON is printed instead of a table.

    Raises:
        UserError: a cost that is not measured, or not of networks deployed so.
    """
    kind = find_cost(cost_name)
    if not issubclass(kind, MeasuredCost):
        raise UserError(f"--verify {cost_name}: it is exact, and there is nothing to verify")
    cost = kind(task, deployment)
    designs = designs or _some(backbone)
    everything = [PLAIN, *(it for it in designs if it != PLAIN)]
    with stderr.status(f"measuring {cost.quantity.words} of parts"):
        cost.prepare([(backbone.name, it) for it in everything])
    with stderr.status(f"measuring {cost.quantity.words} of {len(everything)} networks"):
        networks = {str(it): build(it, backbone, task.num_classes, task.shape[0]) for it in everything}
        measured = cost.of_networks(networks)
    predicted = {str(it): cost.value(backbone.name, it) for it in everything}
    names = [str(it) for it in everything[1:]]
    shares = [[of[name] / of[str(PLAIN)] for name in names] for of in (predicted, measured)]
    from scipy.stats import spearmanr  # takes a moment

    agreement = float(spearmanr(*shares)[0]) if len(set(shares[0])) > 1 < len(set(shares[1])) else None
    errors = [abs(one - other) / abs(1 - other) for one, other in zip(*shares, strict=True) if other != 1]
    result = {
        "cost": cost.quantity.key,
        "conditions": dict(cost.conditions),
        "designs": [{"design": it, "predicted": predicted[it], "measured": measured[it]} for it in predicted],
        "rank_correlation": agreement,
        "median_error_of_what_is_added": statistics.median(errors) if errors else None,
    }
    if as_json:
        print_json(result)
        return
    table = Table(box=None)
    table.add_column("design", overflow="fold")
    for head in ("predicted", "measured", "of plain, predicted", "measured"):
        table.add_column(head, justify="right")
    for name in sorted(predicted, key=measured.__getitem__):
        values = [cost.quantity.show(of[name]) for of in (predicted, measured)]
        table.add_row(name, *values, *(f"{of[name] / of[str(PLAIN)]:.1%}" for of in (predicted, measured)))
    stdout.print(table)
    under = ", ".join(f"{what} {value}" for what, value in cost.conditions.items())
    stdout.print(f"{cost.quantity.label} under {under}")
    if agreement is not None:
        error = statistics.median(errors)
        stdout.print(f"rank correlation {agreement:.2f}; error of what a design adds {error:.0%} (median)")


def _some(backbone: Backbone) -> list[Design]:
    """Designs of the small space, the same each time."""
    space = load_space(PRESETS[0], {backbone.name: backbone.layout})
    everything = [design for _, design in space.enumerate() if design != PLAIN]
    return random.Random(0).sample(everything, min(DESIGNS, len(everything)))
