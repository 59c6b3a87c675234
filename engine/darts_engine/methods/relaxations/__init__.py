"""Relaxations."""
