"""The exceptions that end a command with one line, and the line that is told of any other."""


class UserError(ValueError):
    """A user's mistake, told in one line: what is wrong and what to do.

    The command line prints it without a traceback and exits with code 2.
    """

    def __init__(self, says: str = "") -> None:
        super().__init__(printable(says))


class Stopped(Exception):
    """What a command needs is gone, through nobody's mistake; the same command goes on later. Told in one line.

    The command line prints it without a traceback and exits with code 3.
    """

    def __init__(self, says: str = "") -> None:
        super().__init__(printable(says))


def first_line(error: BaseException) -> str:
    """The first line of an error's text that says something; empty if there is none."""
    return next((line for line in str(error).splitlines() if line.strip()), "")


def printable(text: str) -> str:
    """The text with what ends a line, moves the cursor or is no character as Python writes it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
