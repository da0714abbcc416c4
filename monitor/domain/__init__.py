"""Frozen values and their transitions; the standard library only."""
