"""The reference supernet, which the benchmark runs too and the package therefore holds."""

from darts_engine.bench.plain_supernet import PlainCell, PlainSupernet, copy_weights, operation

__all__ = ["PlainCell", "PlainSupernet", "copy_weights", "operation"]
