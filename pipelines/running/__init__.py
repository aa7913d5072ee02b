"""Running trainings to their end."""
