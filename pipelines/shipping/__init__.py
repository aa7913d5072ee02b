"""Trained networks on disk: found, exported, used."""
