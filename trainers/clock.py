"""A meter of seconds."""

from collections.abc import Mapping
from dataclasses import dataclass

from trainers.blocks import CutBlock
from trainers.runs import Call
from trainers.timing import Figure, in_turns

PLAIN = ""
"""A name that no gate has."""


@dataclass(frozen=True)
class Clock:
    """Seconds of calls that take turns.

    Attributes:
        device: that they run on.
    """

    device: str

    def whole(self, runs: Mapping[str, Call]) -> Mapping[str, Figure]:
        """Seconds of each."""
        return {name: Figure.of(samples) for name, samples in in_turns(runs, self.device).items()}

    def beside(self, plain: Call, runs: Mapping[str, Call], block: CutBlock) -> Mapping[str, Figure]:
        """Seconds that each gate adds, round by round; not less than none."""
        samples = in_turns({PLAIN: plain, **runs}, self.device)
        without = samples.pop(PLAIN)
        found = {}
        for name, with_gate in samples.items():
            added = Figure.of([one - other for one, other in zip(with_gate, without, strict=True)])
            found[name] = added._replace(value=max(0.0, added.value))
        return found
