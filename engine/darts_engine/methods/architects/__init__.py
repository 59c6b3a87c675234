"""Architects."""
