"""Devices, processes, random streams and what torch can be asked for on them."""
