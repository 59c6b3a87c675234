"""How decided the edges of a search are: figures computed from its mixing weights."""

from collections.abc import Sequence

import msgspec

from darts_engine.run.architecture.derivation import SKIP
from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.architecture.kept import row_counts, strongest
from darts_engine.run.architecture.layout import CellLayout
from darts_engine.run.events import AlphaSampled


class EdgeFigures(msgspec.Struct, frozen=True):
    """Means over the edges of each cell, of one alpha sample.

    Attributes:
        seq: of the sample.
        epoch: of the sample.
        margin: cell -> weight of an edge's strongest operation minus that of its second; 0 is
            undecided. `none` does not count where it is never kept. Where a node keeps n parents,
            the weight of the n-th minus that of the next.
        skip_share: cell -> share of the skip connection in an edge's weights, from 0 to 1; cells
            without one are left out.
    """

    seq: int
    epoch: int
    margin: dict[str, float]
    skip_share: dict[str, float]


def edge_figures(
    cells: Sequence[CellLayout], sample: AlphaSampled, genotype: Genotype | None = None
) -> EdgeFigures:
    """The figures of a sample; what a damaged log lacks is left out.

    Args:
        cells: the layouts of the alpha matrices.
        sample: their mixing weights.
        genotype: the derived one, which gives the number of parents that a node keeps.
    """
    margin, skip_share = {}, {}
    for layout in cells:
        margins, shares = [], []
        counts = row_counts(layout, genotype)
        for row, count in zip(sample.weights.get(layout.name, []), counts, strict=False):
            known = {
                name: weight
                for name, weight in zip(layout.operations, row, strict=False)
                if weight is not None
            }
            best = [row[column] or 0.0 for column in strongest(row, layout, count + 1)]
            if best:
                margins.append(best[min(count, len(best)) - 1] - (best[count:] or [0.0])[0])
            if SKIP in known and (total := sum(known.values())) > 0:
                shares.append(known[SKIP] / total)
        if margins:
            margin[layout.name] = round(sum(margins) / len(margins), 6)
        if shares:
            skip_share[layout.name] = round(sum(shares) / len(shares), 6)
    return EdgeFigures(sample.seq, sample.epoch, margin, skip_share)
