"""The options of `search backbones`; the docstring of the class is its help."""

from dataclasses import dataclass

from pipelines.settings.options.shared import (
    Options,
)


@dataclass(frozen=True, kw_only=True)
class BackbonesOptions(Options):
    """The networks that attention can go into."""
