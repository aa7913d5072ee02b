"""The pictures of the analyses, by matplotlib."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
BINS = 60


def draw_integration(heat: Mapping[int, Array], title: str, path: Path) -> None:
    """One heat map a stage, (L - 1, L - 1): a row for each target layer, a column for each source."""
    figure, axes = _panels(len(heat), 4.2, 4.4, title)
    for panel, (stage, values) in zip(axes, heat.items(), strict=True):
        layers = len(values) + 1
        image = panel.imshow(values, cmap="viridis", vmin=0, vmax=1, extent=(0.5, layers - 0.5, layers + 0.5, 1.5))
        panel.set(title=f"stage {stage + 1}", xlabel="source layer n", ylabel="target layer t")
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.yaxis.get_major_locator().set_params(integer=True)
    figure.colorbar(image, ax=axes, label="importance, 1 for the most important source", shrink=0.8)
    figure.savefig(path, dpi=130)


def draw_gradients(gradients: Mapping[str, Sequence[Array]], title: str, path: Path) -> None:
    """One panel a stage: how log10 |gradient| is distributed at its end, a line for each network."""
    stages = len(next(iter(gradients.values())))
    figure, axes = _panels(stages, 4.2, 3.6, title)
    for stage, panel in enumerate(axes):
        for (name, by_stage), colour in zip(gradients.items(), cycle(COLOURS), strict=False):
            sizes = by_stage[stage]
            positive = np.log10(sizes[sizes > 0])
            if len(positive):
                panel.hist(positive, BINS, histtype="step", density=True, color=colour, linewidth=1.4, label=name)
        panel.set(title=f"stage {stage + 1}", xlabel="log10 |gradient|", ylabel="density")
        panel.grid(alpha=0.25)
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=130)


def _panels(count: int, width: float, height: float, title: str) -> tuple[Any, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * count, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    return figure, list(figure.subplots(1, count, squeeze=False)[0])
