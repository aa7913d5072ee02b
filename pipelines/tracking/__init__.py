"""MLflow: a copy of the ledger."""
