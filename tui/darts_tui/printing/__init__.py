"""Watching a run without the dashboard."""
