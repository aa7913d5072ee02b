"""What a user types for a backbone: a network, perhaps without its own attention, and perhaps where its gates stand."""

import re
from typing import NamedTuple

NO_ATTENTION = "+no_attention"


def split_names(text: str) -> tuple[str, ...]:
    """Several names, parted by commas that are not within the brackets of a pattern."""
    return tuple(name.strip() for name in re.split(r",(?![^(\[{]*[)\]}])", text))


class Name(NamedTuple):
    """A backbone's name in its parts: NETWORK+no_attention@PATTERN.

    Attributes:
        network: such as resnet20+no_skip, timm/resnet18, or FILE.py:FACTORY, whose path may have an @, too.
        pattern: of the modules whose outputs are gated; empty for none.
        plain: whether the attention that the network carries itself is taken out.
    """

    network: str
    pattern: str = ""
    plain: bool = False

    @classmethod
    def parse(cls, text: str) -> "Name":
        """The parts of a name: str(Name.parse(text)) == text, but for an @ with nothing behind it."""
        found = re.match(r"(?:.*?\.py:(?=[^/@:]*(?:@|$)))?[^@]*", text, re.DOTALL)
        network = found[0] if found else ""
        plain = network.endswith(NO_ATTENTION)
        return cls(network.removesuffix(NO_ATTENTION), text[len(network) + 1 :], plain)

    def __str__(self) -> str:
        return self.network + NO_ATTENTION * self.plain + f"@{self.pattern}" * bool(self.pattern)
