"""What a command's process exits with."""

COMPLETE, FAILED, USER_ERROR, STOPPED = 0, 1, 2, 3
"""Stopped ones go on by the same command."""
