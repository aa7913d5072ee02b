"""What the terminal says of a search below its bar: its fronts, the best design, the last one."""

from collections.abc import Sequence

from pipelines.results.fronts import front_rows, rows
from pipelines.results.tables import show_row_gain
from pipelines.terminal.formats import show_percent
from search.hypervolume import Bounds
from search.trials import State, Trial


def progress_lines(trials: Sequence[Trial], bounds: Bounds, images: int) -> list[tuple[str, str]]:
    """A label and a text for each line.

    Args:
        trials: so far, at least one.
        bounds: of the hypervolume.
        images: that the metric is judged on.
    """
    objectives = bounds.objectives
    cheap = objectives.costs[0]
    complete = rows(trials, {}, objectives, images)
    sizes = "   ".join(f"{cost.name} {len(front_rows(complete, cost))} designs" for cost in objectives.costs)
    lines = [("front", f"{sizes}   gain hypervolume {bounds.hypervolume(trials):.3f}")]
    if complete:
        best = front_rows(complete, cheap)[0]
        size = f"{cheap.show(best.costs[cheap.key])} {cheap.words}"
        gain = "" if best.gain is None else f"   {show_row_gain(best)} on plain"
        lines.append(
            (
                "best",
                f"{show_percent(best.score)}{gain}   {best.design}   {size}",
            )
        )
    last = max(trials, key=lambda trial: trial.finished or trial.started)
    result = show_percent(last.last[objectives.metric]) if last.state is State.COMPLETE else last.state.value
    lines.append(("last", f"{result}   {last.job.design}   {cheap.show(last.job.costs[cheap.key])} {cheap.words}"))
    return lines
