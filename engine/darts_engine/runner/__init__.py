"""Runs a search or a training through its epochs, with its events, commands and checkpoints."""
