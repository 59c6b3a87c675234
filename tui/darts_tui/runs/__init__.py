"""Finds, names and summarises runs, and sends commands to them."""
