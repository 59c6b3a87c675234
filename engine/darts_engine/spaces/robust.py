"""The spaces S1 to S4 of R-DARTS: Zela et al., 2020, arXiv 1909.09656, section 3 and its code.

Small spaces on which DARTS fails. S1 gives each edge the two operations that were strongest in a
DARTS search. On every edge, S2 has skip and sep 3x3, S3 has none, skip and sep 3x3, and S4 has
noise and sep 3x3.
"""

from collections.abc import Mapping, Sequence

from darts_engine.layers.operations import AVG_POOL, MAX_POOL, NOISE, NONE, SKIP
from darts_engine.spaces.darts import DARTS

SHORT = {
    "skip": SKIP,
    "max": MAX_POOL,
    "avg": AVG_POOL,
    "sep3": "sep_conv_3x3",
    "dil3": "dil_conv_3x3",
    "dil5": "dil_conv_5x5",
}
# Edge by edge, node by node.
S1_EDGES = {
    "normal": "skip,dil3 skip,dil5 | skip,dil5 skip,sep3 skip,dil3 "
    "| max,skip skip,sep3 skip,sep3 skip,dil3 "
    "| skip,sep3 max,skip skip,dil3 dil3,dil5 dil3,dil5",
    "reduce": "max,avg max,dil3 | max,avg max,avg skip,dil5 "
    "| max,avg max,sep3 skip,dil3 skip,dil5 "
    "| max,avg max,avg skip,dil5 skip,dil5 skip,dil5",
}


class S1(DARTS):
    """Each edge has two candidates of its own; there are four nodes."""

    def names(self) -> Mapping[str, Sequence[Sequence[str]]]:
        """The candidates by cell type and edge."""
        return {cell: _edges(text) for cell, text in S1_EDGES.items()}


class _Uniform(DARTS):
    """The same candidates on every edge."""

    CANDIDATES: Sequence[str] = ()

    def names(self) -> Sequence[str]:
        """The candidates of every edge."""
        return self.CANDIDATES


class S2(_Uniform):
    """Skip connection or separable convolution."""

    CANDIDATES = (SKIP, "sep_conv_3x3")


class S3(_Uniform):
    """None, skip connection or separable convolution."""

    CANDIDATES = (NONE, SKIP, "sep_conv_3x3")


class S4(_Uniform):
    """Noise or separable convolution."""

    CANDIDATES = (NOISE, "sep_conv_3x3")


def _edges(text: str) -> list[tuple[str, ...]]:
    pairs = text.replace("|", " ").split()
    return [tuple(SHORT[word] for word in pair.split(",")) for pair in pairs]
