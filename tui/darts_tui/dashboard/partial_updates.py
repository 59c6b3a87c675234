"""Send the terminal only the cells that changed: a patch of a private method of Textual 8.2.8.

Textual's `ChopsUpdate.render_segments` crops a strip at the right end of a changed span, but not at
its left end: it sends the line from the strip's first column, once more for each further span of
the line. For a heatmap in which single digits change that is three times the bytes, which is felt
over SSH. https://github.com/Textualize/textual/issues/5625 describes the fault; it is closed, but
8.2.8 still has the fault.

`test_nothing_left_of_a_stretch_is_sent_again` fails when Textual crops at both ends. Then this file
and the call of `install` in `app.py` can be removed.
"""

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate


def install() -> None:
    """Replace the method for every app of this process."""
    ChopsUpdate.render_segments = render_segments  # type: ignore[assignment, method-assign]


def render_segments(update: ChopsUpdate, console: Console) -> str:
    """Render a partial update to terminal codes.

    `update.spans` are the changed spans (y, first x, end x). `update.chops[y]` are the strips of
    line y by their first column; `update.chop_ends[y]` are the columns where they end.
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
