"""What a user runs: one file a command, the command line, MLflow tracking, plots and progress."""
