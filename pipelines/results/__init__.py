"""What came out of trials, as rows, tables and pictures."""
