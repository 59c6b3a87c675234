"""The reference supernet, which the benchmark runs too and the package therefore holds."""

from darts_engine.supernet.plain import PlainCell, PlainSupernet, copy_weights, operation

__all__ = ["PlainCell", "PlainSupernet", "copy_weights", "operation"]
