"""`search reproduce --params-only`: the parameter counts that the papers print, beside those of our networks."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from rich.table import Table

from pipelines.papers.experiments import CLASSES, Experiment, PaperRow
from pipelines.terminal.console import print_json, stdout
from space.backbones import backbone
from space.build import build
from space.design import Design
from space.meta import meta
from trainers.counting import count_params


def show_counts(chosen: Sequence[Experiment], wanted: Mapping[str, Sequence[PaperRow]], as_json: bool) -> None:
    """Print the parameter counts of these experiments with match or mismatch.

    Args:
        chosen: the experiments.
        wanted: the rows of each whose counts to print, by name of the experiment.
        as_json: for programs.
    """
    found = []
    for one in chosen:
        names = {row.counted_name for row in wanted[one.name]}
        found += [entry for entry in counts(one) if entry["row"] in names]
    if as_json:
        keys = ("experiment", "row", "printed_millions", "num_params", "match")
        print_json([{key: entry[key] for key in keys} for entry in found])
        return
    if not found:
        stdout.print("The paper prints no parameter counts for these rows.")
        return
    table = Table(box=None)
    for column in ("experiment", "row"):
        table.add_column(column, no_wrap=True)
    for column in ("printed", "ours", "difference", ""):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for entry in found:
        difference = "" if entry["match"] else f"{entry['num_params'] / 1e6 - entry['printed_millions']:+.4f} M"
        remarks = [entry["why"]] if entry["why"] else []
        if entry["built"]:
            remarks.append("really built: " + ", ".join(f"{count:,} ({on})" for on, count in entry["built"].items()))
        table.add_row(
            entry["experiment"],
            entry["row"],
            f"{entry['printed_millions']:.2f} M",
            f"{entry['num_params']:,}",
            difference,
            "match" if entry["match"] else "mismatch",
            "; ".join(remarks),
        )
    stdout.print(table)
    matches = sum(entry["match"] for entry in found)
    stdout.print(f"{matches} of {len(found)} printed counts match to the printed precision.")


def counts(what: Experiment) -> list[dict[str, Any]]:
    """Each printed count with the exact one, and those of the networks where the paper counts another one."""
    found = []
    for row in what.counts:
        printed = row.printed.params
        assert printed is not None
        exact = _count(row, row.counted)
        sharing = [other for other in what.rows if other.counted_name == row.counted_name]
        built = {str(other.design): _count(other, other.design) for other in sharing}
        found.append(
            {
                "experiment": what.name,
                "row": row.counted_name,
                "printed_millions": printed,
                "num_params": exact,
                "match": f"{exact / 1e6:.2f}" == f"{printed:.2f}",
                "why": row.mismatch,
                "built": {design: count for design, count in built.items() if count != exact},
            }
        )
    return found


@cache
def _count(row: PaperRow, design: Design) -> int:
    """Parameters of the network with this design, as it is built."""
    with meta():
        return count_params(build(design, backbone(row.backbone), CLASSES[row.dataset]))
