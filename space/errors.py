"""The exceptions that end a command with one line."""


class UserError(ValueError):
    """A user's mistake, told in one line: what is wrong and what to do.

    The command line prints it without a traceback and exits with code 2.
    """


class Stopped(Exception):
    """What a command needs is gone, through nobody's mistake; the same command goes on later. Told in one line.

    The command line prints it without a traceback and exits with code 3.
    """
