"""How sure a search is of its edges: figures that follow from its mixing weights."""

from collections.abc import Sequence

import msgspec

from darts_engine.run.derivation import NONE, SKIP
from darts_engine.run.events import AlphaSampled, CellLayout


class EdgeFigures(msgspec.Struct, frozen=True):
    """Means over the edges of each cell, of one alpha sample.

    Attributes:
        seq: of the sample.
        epoch: of the sample.
        margin: cell -> weight of an edge's strongest operation less that of its second, `none`
            left out; 0 is undecided.
        skip_share: cell -> the skip connection's part of an edge's weights, from 0 to 1; cells
            without one are left out.
    """

    seq: int
    epoch: int
    margin: dict[str, float]
    skip_share: dict[str, float]


def edge_figures(cells: Sequence[CellLayout], sample: AlphaSampled) -> EdgeFigures:
    """The figures of a sample; what a damaged log lacks is left out."""
    margin, skip_share = {}, {}
    for layout in cells:
        margins, shares = [], []
        for row in sample.weights.get(layout.name, []):
            known = {
                name: weight
                for name, weight in zip(layout.operations, row, strict=False)
                if weight is not None
            }
            best = sorted((w for name, w in known.items() if name != NONE), reverse=True)
            if best:
                margins.append(best[0] - (best[1] if len(best) > 1 else 0.0))
            if SKIP in known and (total := sum(known.values())) > 0:
                shares.append(known[SKIP] / total)
        if margins:
            margin[layout.name] = round(sum(margins) / len(margins), 6)
        if shares:
            skip_share[layout.name] = round(sum(shares) / len(shares), 6)
    return EdgeFigures(sample.seq, sample.epoch, margin, skip_share)
