"""The commands, one a file: each resolves, runs and shows."""
