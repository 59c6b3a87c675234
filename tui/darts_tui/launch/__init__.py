"""Starts engines and child programs."""
