"""The format of what a study keeps: one of another version is refused in a line, not misread."""

from collections.abc import Mapping
from typing import Any

from space.errors import UserError

FORMAT = 4


def check_format(settings: Mapping[str, Any]) -> None:
    """Make sure that a study's settings are of this version's format.

    Raises:
        UserError: they are not.
    """
    if settings.get("format") != FORMAT:
        raise UserError("this study was made by another version of this program; use that, or start another study")
