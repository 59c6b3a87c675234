"""The layout of the overview: the rows of each band, from the terminal's size and the run."""

from collections.abc import Sequence
from dataclasses import dataclass

from darts_engine.run.architecture.layout import CellLayout
from darts_tui.dashboard.widgets.stretches import TALL, stretches

MIN_WIDTH, MIN_HEIGHT = 60, 16
TWO_CELLS, FOUR_FIGURES = 116, 148
# Header, tabs, ticker and footer.
CHROME = 4
HEAT_FRAME = 4
# Columns that a panel's frame takes.
FRAME = 4


@dataclass(frozen=True, kw_only=True)
class ScreenLayout:
    """Rows of each band of the overview, 0 where it is hidden.

    Attributes:
        two: whether both cells stand side by side.
        beside: whether the decisions of the only cell stand beside it; a tall one needs the room.
        stacked: whether the two curves stand one above the other.
        figures: which panels share the band of figures.
    """

    two: bool = False
    beside: bool = False
    stacked: bool = False
    alpha: int
    vitals: int
    curves: int
    figures_rows: int
    events: int
    figures: tuple[str, ...]


def is_too_small(width: int, height: int) -> bool:
    """Whether there is only room for a message."""
    return width < MIN_WIDTH or height < MIN_HEIGHT


def is_tall(cells: Sequence[CellLayout]) -> bool:
    """Whether the only cell has so many edges that they stand in stretches beside one another."""
    return len(cells) == 1 and len(cells[0].edges) >= TALL


def heat_rows(cells: Sequence[CellLayout], width: int) -> int:
    """Rows of the highest heatmap; 0 for a run without alpha.

    Args:
        cells: layouts of the run's alphas.
        width: cells of the terminal.
    """
    has_all = width < TWO_CELLS or is_tall(cells)
    inner = (width if has_all else width // 2) - FRAME
    return max((max(stretches([t for _, t in c.edges], inner)) for c in cells), default=0)


def lay_out(
    width: int,
    height: int,
    rows: int,
    cells: int,
    notice: int,
    *,
    shifts: bool = False,
    tall: bool = False,
) -> ScreenLayout:
    """Divide the rows of the overview.

    Args:
        width: cells of the terminal.
        height: rows of the terminal.
        rows: of the highest heatmap; 0 for a run without alpha.
        cells: cell types.
        notice: rows of the notice above the overview.
        shifts: whether the run has mean shifts to show.
        tall: whether the only cell takes the whole width.
    """
    room = max(0, height - CHROME - notice)
    if not rows:
        return _training(width, room)
    two = width >= TWO_CELLS
    vitals = 0 if two else 2
    alpha = max(0, min(rows + HEAT_FRAME, room - vitals))
    left = room - alpha - vitals
    if not two:
        return _narrow_search(width, alpha, vitals, left)
    figures_rows = 10 if left >= 24 else 7 if left >= 13 else 0
    left -= figures_rows
    events = 0 if left < 11 else 4 if left < 15 else 5 if left < 20 else 8
    curves = left - events
    if curves < 5:
        vitals, curves = min(2, left), 0
        events = left - vitals if left - vitals >= 4 else 0
    return ScreenLayout(
        two=cells > 1,
        beside=cells == 1 and not tall,
        alpha=alpha,
        vitals=vitals,
        curves=curves,
        figures_rows=figures_rows,
        events=events,
        figures=_figures(width, has_alpha=True, shifts=shifts),
    )


def _narrow_search(width: int, alpha: int, vitals: int, left: int) -> ScreenLayout:
    curves = min(left, 12) if left >= 6 else 0
    left -= curves
    figures_rows = 9 if left >= 9 else 0
    left -= figures_rows
    events = left if left >= 4 else 0
    if curves:
        curves += left - events
    return ScreenLayout(
        alpha=alpha,
        vitals=vitals,
        curves=curves,
        figures_rows=figures_rows,
        events=events,
        figures=_figures(width, has_alpha=True),
    )


def _training(width: int, room: int) -> ScreenLayout:
    stacked = width < TWO_CELLS
    vitals = 2 if stacked else 0
    left = room - vitals
    figures_rows = 11 if left >= 36 else 9 if left >= 26 else 0
    left -= figures_rows
    events = 8 if left >= 26 else 5 if left >= 17 and figures_rows else 0
    return ScreenLayout(
        stacked=stacked,
        alpha=0,
        vitals=vitals,
        curves=left - events,
        figures_rows=figures_rows,
        events=events,
        figures=_figures(width, has_alpha=False),
    )


def _figures(width: int, *, has_alpha: bool, shifts: bool = False) -> tuple[str, ...]:
    # The shift is the core of its method, and the schedules have a tab of their own.
    first = "shift" if shifts else "schedules"
    if width >= FOUR_FIGURES:
        return (first, "health", "genotype", "system")
    if width >= TWO_CELLS:
        # The genotype of a training never changes, and it has a tab of its own.
        return (first, "health", "genotype" if has_alpha else "system")
    return ("health", "genotype") if has_alpha else ("schedules", "health")
