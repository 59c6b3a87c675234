"""Send the terminal only what changed: a mend for Textual's partial updates, as of 8.2.8.

Textual repaints a changed stretch of a widget's line from the line's left edge, however far right
the stretch is, and does so again for every further stretch of the same line. A heatmap whose digits
move here and there costs three times the bytes then, which an SSH connection feels.
"""

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate


def install() -> None:
    """Make every app of this process paint changed stretches only."""
    ChopsUpdate.render_segments = render_segments  # type: ignore[assignment, method-assign]


def render_segments(update: ChopsUpdate, console: Console) -> str:
    """The terminal codes of a partial update.

    `update.spans` are the changed stretches (y, from x, to x); `update.chops[y]` are the pieces of
    line y by their first column, which end at `update.chop_ends[y]`.
    """
    sequences = []
    for y, first, last in update.spans:
        ends = update.chop_ends[y]
        for end, (x, strip) in zip(ends, update.chops[y].items(), strict=False):
            left, right = max(x, first), min(end, last)
            if strip is None or left >= right:
                continue
            sequences.append(Control.move_to(left, y).segment.text)
            sequences.append(strip.crop(left - x, right - x).render(console))
    return "".join(sequences)
