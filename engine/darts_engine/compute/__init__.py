"""Devices, ranks, random streams, compilation and activation checkpointing."""
