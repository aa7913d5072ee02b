"""What the user may say, and what is meant by it."""
