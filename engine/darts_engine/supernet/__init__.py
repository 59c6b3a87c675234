"""The relaxed network of each space. Read `plain.py` first."""
