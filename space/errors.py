"""The exceptions that end a command with one line, and the line that is told of any other."""


class UserError(ValueError):
    """A user's mistake, told in one line: what is wrong and what to do.

    The command line prints it without a traceback and exits with code 2.
    """


class Stopped(Exception):
    """What a command needs is gone, through nobody's mistake; the same command goes on later. Told in one line.

    The command line prints it without a traceback and exits with code 3.
    """


def first_line(error: BaseException) -> str:
    """The first line of an error's text that says something; empty if there is none."""
    return next((line for line in str(error).splitlines() if line.strip()), "")
