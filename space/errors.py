"""The one exception that a user's mistake raises."""


class UserError(ValueError):
    """A user's mistake, told in one line: what is wrong and what to do.

    The command line prints it without a traceback and exits with code 2.
    """
