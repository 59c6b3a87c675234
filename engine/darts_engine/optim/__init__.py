"""Schedules of what is turned down, or up, as a run goes on."""
