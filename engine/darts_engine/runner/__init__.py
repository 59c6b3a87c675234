"""Drives a search or a training through its epochs and keeps its run folder."""
