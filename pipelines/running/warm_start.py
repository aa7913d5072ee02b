"""What a search begins with: designs that come first, and trainings of another search."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from pipelines.settings.objectives import objectives_of
from pipelines.settings.study import Settings
from search.designs import known_designs
from search.storage import Record
from search.trials import Trial
from space import Design, UserError
from space.backbones import backbone
from space.choices import Candidate
from space.cost import Costs, Limit

BEST = 10
"""Designs of another search that come first where its trainings would not be the same here."""


@dataclass(frozen=True)
class Prior:
    """What another search tells this one; nothing, if there is none.

    Attributes:
        name: of the other study.
        trials: its trials, where a training here would be the same as there.
        designs: its best ones, where it would not: they come first, and nothing that they came to is believed.
        differs: what is not the same, in words.
    """

    name: str = ""
    trials: Sequence[Trial] = ()
    designs: Sequence[Candidate] = ()
    differs: str = ""

    @classmethod
    def of(cls, record: Record, settings: Settings) -> "Prior":
        """That of a study for a search with these settings.

        Raises:
            UserError: a study of another version.
        """
        there = Settings.from_json(record.attributes["settings"])
        if not (differing := settings.differing_trainings(there)):
            return cls(record.name, trials=record.trials)
        known = known_designs(record.trials, objectives_of(record.attributes), there.images["val"])
        ranked = sorted((it for it in known if not it.plain), key=lambda it: -it.score)
        best = fitting((design for _, design in (it.candidate for it in ranked)), settings)[:BEST]
        return cls(record.name, designs=best, differs=", ".join(differing))

    def __str__(self) -> str:
        if not self.differs:
            return f"{self.name}: the same trainings, which count here"
        first = f"its best {len(self.designs)} designs come first" if self.designs else "and none of its designs fits"
        return f"{self.name}: other trainings ({self.differs}); {first}"


def check_enqueued(designs: Iterable[Candidate], costs: Mapping[Candidate, Costs], limits: Iterable[Limit]) -> None:
    """Make sure that the limits allow the designs that a user wants first.

    Raises:
        UserError: naming one that they do not, and the limit.
    """
    for candidate, limit in product(designs, limits):
        quantity = limit.quantity
        if not limit.allows(costs[candidate]):
            has = f"{quantity.show(costs[candidate][quantity.key])} {quantity.words}"
            raise UserError(f"--enqueue {candidate[1]} has {has}, which {limit.typed} does not allow")


def fitting(designs: Iterable[Design], settings: Settings) -> list[Candidate]:
    """Those that the first backbone takes and the space has, each once."""
    found: dict[Candidate, None] = {}
    layout = backbone(settings.backbones[0]).layout
    for design in designs:
        try:
            begun = design if settings.weights is None else design.starting_at_one()
            candidate = settings.backbones[0], begun.canonical(layout)
        except UserError:
            continue
        if settings.search_space.leading_to(candidate) is not None:
            found[candidate] = None
    return list(found)
