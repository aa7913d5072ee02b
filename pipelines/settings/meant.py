"""The rule by which all options become settings."""

from typing import TypeVar

from pipelines.settings.study import Settings

T = TypeVar("T")


def meant(said: T | None, frozen: Settings | None, name: str, default: T) -> T:
    """What was said (typed, else in a file), else what the study froze, else the default.

    Args:
        said: None for nothing.
        frozen: settings of a study that exists.
        name: of the setting there.
        default: for a new study.
    """
    if said is not None:
        return said
    there: T = default if frozen is None else getattr(frozen, name)
    return there
