"""How each attention looks in pictures: a colour of its own and a marker, the same in every picture."""

from collections.abc import Iterable
from zlib import crc32

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = {
    "none": "#000000",
    "se": "#0072B2",
    "ras": "#D55E00",
    "eca": "#009E73",
    "dia": "#CC79A7",
    "cbam": "#E69F00",
    "sem": "#56B4E9",
    "spa": "#7F7F7F",
}
PLUGINS = ("#A6761D", "#882255", "#999933", "#332288", "#44AA99", "#AA4499", "#661100", "#DDCC77")
"""For the attentions of plug-ins: of Tol's muted colours those that are unlike ours, and a brown."""
MARKERS = {"none": ("star", "*"), "se": ("circle", "o"), "ras": ("diamond", "D"), "eca": ("square", "s")}
MARKERS |= {"dia": ("triangle-up", "^"), "cbam": ("cross", "P"), "sem": ("triangle-down", "v"), "spa": ("x", "X")}


def colours(attentions: Iterable[str]) -> dict[str, str]:
    """The colours of these attentions, ours first.

    A plug-in's is chosen by its name, so that it is the same in other pictures. Where two names choose one, the second
    in the alphabet takes the next that is free; only of more than there are colours some share one.
    """
    there = set(attentions)
    found = {name: colour for name, colour in COLOURS.items() if name in there}
    for name in sorted(there - set(COLOURS)):
        first = crc32(name.encode()) % len(PLUGINS)
        turned = PLUGINS[first:] + PLUGINS[:first]
        found[name] = next((colour for colour in turned if colour not in found.values()), turned[0])
    return found


def markers(attention: str) -> tuple[str, str]:
    """Its marker in Plotly's words and in matplotlib's."""
    return MARKERS.get(attention, ("hexagon", "h"))
