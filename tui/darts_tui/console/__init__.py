"""Harmless text for stdout and stderr."""
