"""Refuse a run that needs more memory than the device has free, before it starts."""
