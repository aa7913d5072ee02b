"""The rungs that a user types, such as 0.2,0.5."""

from space.errors import UserError


def rungs_typed(text: str) -> tuple[float, ...]:
    """Shares of a training's epochs.

    Raises:
        UserError: something that is none.
    """
    try:
        rungs = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        rungs = ()
    if not rungs or not all(0 < rung < 1 for rung in rungs):
        raise UserError(f"--rungs {text}: shares of a training between 0 and 1 are wanted, such as 0.2,0.5")
    return rungs
