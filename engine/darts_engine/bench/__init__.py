"""Measure claims of speed and memory: `darts-tui bench`."""
