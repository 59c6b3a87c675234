"""`python -m darts_tui.export.figures`: read jobs as JSON, draw them, write the files as JSON.

The only module of `darts_tui` that imports matplotlib; the dashboard never imports it. Figures are
made from matplotlib's objects, without pyplot and its global state.
"""

import io
import math
import sys
from typing import Any

import matplotlib as mpl
import msgspec
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from darts_tui.export.pictures import (
    Confusion,
    Curves,
    Heatmap,
    History,
    Job,
    Line,
    Multiples,
    Panel,
    Picture,
    Surface,
)
from darts_tui.export.render import PNG_DPI

# Okabe and Ito's colours, which colour-blind people can distinguish too; the yellow is darkened for
# white paper.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#a8a000")
KEPT = PALETTE[1]
# The most classes of a confusion matrix with digits in its cells, and with names at its axes.
MOST_DIGITS, MOST_NAMES = 20, 100
# Small plots: how many stand beside each other, and below which size their scale is linear.
MOST_BESIDE, SMALLEST = 4, 0.01
SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "darts-tui",
    "pdf.fonttype": 42,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,
    "savefig.facecolor": "#ffffff",
}
# No dates, so that the same run gives the same bytes.
METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
    "png": {},
}


def draw_heatmap(picture: Heatmap) -> Figure:
    """Weights as shades and digits; derived operations are outlined, their edges have a dot."""
    rows, columns = len(picture.rows), len(picture.columns)
    figure = Figure(figsize=(1.6 + 0.78 * columns, 1.5 + 0.3 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    values = [[math.nan if v is None else v for v in row] for row in picture.values]
    known = [v for row in values for v in row if not math.isnan(v)]
    top = max(known, default=1.0) or 1.0
    image = axes.imshow(values, cmap="Blues", vmin=0.0, vmax=top, aspect="auto")
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            text = "–" if math.isnan(value) else f"{value:.3f}"
            shade = "#ffffff" if value > 0.6 * top else "#1a1a1a"
            weight = "bold" if (row, column) in picture.kept else "normal"
            axes.text(column, row, text, ha="center", va="center", color=shade, weight=weight)
    for row, column in picture.kept:
        corner = (column - 0.46, row - 0.44)
        axes.add_patch(Rectangle(corner, 0.92, 0.88, fill=False, edgecolor=KEPT, lw=2))
    boundary = -0.5
    for rows_of_node in picture.groups[:-1]:
        boundary += rows_of_node
        axes.axhline(boundary, color="#404040", lw=0.8)
    kept_rows = {row for row, _ in picture.kept}
    axes.set_xticks(range(columns), picture.columns, rotation=30, ha="left", rotation_mode="anchor")
    axes.xaxis.tick_top()
    axes.set_yticks(range(rows), [f"● {r}" if i in kept_rows else r for i, r in
                                  enumerate(picture.rows)])  # fmt: skip
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.suptitle(picture.title, fontsize=11)
    bar = figure.colorbar(image, ax=axes, label="mixing weight", fraction=0.04, pad=0.02)
    bar.outline.set_visible(False)
    return figure


def draw_history(picture: History) -> Figure:
    """Axes per edge; the derived operation's line is thick, and its edge is framed."""
    lines = 1 + max(line for line, _ in picture.places)
    columns = 1 + max(column for _, column in picture.places)
    figure = Figure(figsize=(1.9 * columns, 1.0 + 1.35 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat:
        axes.set_visible(False)
    marker = "." if len(picture.epochs) == 1 else ""
    for row, place in enumerate(picture.places):
        axes = grid[place]
        axes.set_visible(True)
        chosen = {column for kept, column in picture.kept if kept == row}
        for column, name in enumerate(picture.columns):
            y = [math.nan if v is None else v for v in (m[row][column] for m in picture.values)]
            width = 2.2 if column in chosen else 0.9
            style = "--" if column >= len(PALETTE) else "-"
            axes.plot(picture.epochs, y, style, lw=width, label=name, marker=marker,
                      color=PALETTE[column % len(PALETTE)])  # fmt: skip
        axes.set_title(picture.rows[row], fontsize=9, pad=3)
        axes.spines[:].set(visible=True, color=KEPT if chosen else "#b0b0b0",
                           linewidth=1.6 if chosen else 0.6)  # fmt: skip
        axes.tick_params(labelsize=7, length=2, labelbottom=place[0] == lines - 1)
        axes.set_xlabel("epoch" if place[0] == lines - 1 else "", fontsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    handles, labels = grid[picture.places[0]].get_legend_handles_labels()
    legend = figure.legend(
        handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8
    )
    for handle in legend.get_lines():
        handle.set_linewidth(1.6)
    figure.suptitle(picture.title, fontsize=11)
    figure.supylabel("mixing weight", fontsize=9)
    return figure


def draw_curves(picture: Curves) -> Figure:
    """Panels above each other over the same epochs."""
    heights = [1.0 if len(p.lines) == 1 else 2.0 for p in picture.panels]
    figure = Figure(figsize=(6.4, 0.9 + 1.15 * sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(
        len(picture.panels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for axes, panel in zip(grid[:, 0], picture.panels, strict=True):
        _draw_panel(axes, panel)
        margin = 0.02 * (picture.epochs - picture.start)
        axes.set_xlim(picture.start - (margin if picture.start else 0), picture.epochs + margin)
    grid[-1, 0].set_xlabel(picture.x_label)
    if picture.x_label == "epoch":
        grid[-1, 0].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.align_ylabels()
    figure.suptitle(picture.title, fontsize=11)
    return figure


def _draw_panel(axes: Any, panel: Panel) -> None:
    drawn = [line for line in panel.lines if line.points]
    for line in drawn:
        x, y = zip(*line.points, strict=True)
        alone = "o" if len(x) == 1 else ""
        axes.plot(x, y, label=line.label, color=PALETTE[line.colour % len(PALETTE)], marker=alone,
                  lw=0.7 if line.faint else 1.6, alpha=0.4 if line.faint else 1.0)  # fmt: skip
    if panel.logarithmic and all(y > 0 for line in drawn for _, y in line.points):
        axes.set_yscale("log")
        values = [y for line in drawn for _, y in line.points]
        # Within a factor of 4, most of 1, 2 and 5 times a power of ten are outside.
        narrow = bool(values) and max(values) < 4 * min(values)
        axes.yaxis.set_major_locator(
            MaxNLocator(5, steps=[1, 2, 5, 10]) if narrow else LogLocator(subs=(1.0, 2.0, 5.0))
        )
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    if panel.mark:
        axes.plot(*panel.mark, "o", color=PALETTE[1], ms=6, mfc="#ffffff", mew=1.6, zorder=4,
                  label=panel.mark_label)  # fmt: skip
    if panel.division:
        axes.axvline(panel.division[0], color="#606060", ls=":", lw=1.2, label=panel.division[1])
    axes.set_ylabel(panel.label)
    axes.grid(visible=True, which="major", color="#e4e4e4", lw=0.6)
    axes.set_axisbelow(True)
    if len(panel.lines) > 1 and drawn:
        axes.legend(frameon=False, fontsize=8)


def draw_multiples(picture: Multiples) -> Figure:
    """Axes per line, at most `MOST_BESIDE` in a row; the other lines are grey behind it."""
    columns = min(MOST_BESIDE, len(picture.lines))
    rows = math.ceil(len(picture.lines) / columns)
    figure = Figure(figsize=(0.6 + 1.9 * columns, 0.9 + 1.25 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place >= len(picture.lines):
            axes.set_visible(False)
            # The axes above are then the last of their column.
            grid.flat[place - columns].tick_params(labelbottom=True)
            continue
        for line in picture.lines:
            _draw_small(axes, line, mine=line is picture.lines[place])
        axes.set_title(picture.lines[place].label, fontsize=9, pad=3)
        axes.tick_params(labelsize=7, length=2)
        axes.grid(visible=True, which="major", color="#ececec", lw=0.5)
        axes.set_axisbelow(True)
    first = grid[0, 0]
    first.set_xlim(0, picture.epochs * 1.02)
    first.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    if picture.by_size:
        values = [value for line in picture.lines for _, value in line.points]
        first.set_yscale("symlog", linthresh=SMALLEST)
        first.set_ylim(min(0.0, 1.5 * min(values)), 1.5 * max(SMALLEST, *values))
        first.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    figure.suptitle(picture.title, fontsize=11)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel(picture.label, fontsize=9)
    return figure


def _draw_small(axes: Any, line: Line, *, mine: bool) -> None:
    if line.points:
        x, y = zip(*line.points, strict=True)
        alone = "." if len(x) == 1 else ""
        colour, width = (PALETTE[0], 1.8) if mine else ("#c8c8c8", 0.6)
        axes.plot(x, y, color=colour, lw=width, marker=alone, zorder=3 if mine else 1)


def draw_confusion(picture: Confusion) -> Figure:
    """Shares of each true class as shades; with few classes, counts as digits."""
    count = len(picture.classes)
    shown = count <= MOST_DIGITS
    side = max(3.6, 0.42 * count) if shown else 7.0
    names = 0.07 * max(map(len, picture.classes)) if count <= MOST_NAMES else 0.3
    # A compressed layout, because the matrix stays square.
    figure = Figure(figsize=(side + names + 1.6, side + names + 0.8), layout="compressed")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    shares = [[100 * n / max(1, sum(row)) for n in row] for row in picture.counts]
    # Without digits, a root makes confusions of a few per cent visible.
    norm = PowerNorm(1.0 if shown else 0.4, vmin=0.0, vmax=100.0)
    image = axes.imshow(shares, cmap="Blues", norm=norm)
    for row, line in enumerate(picture.counts if shown else []):
        for column, number in enumerate(line):
            if number:
                shade = "#ffffff" if shares[row][column] > 60 else "#1a1a1a"
                size = 8 if number < 10_000 else 6
                axes.text(column, row, f"{number}", ha="center", va="center", color=shade,
                          fontsize=size)  # fmt: skip
    if count <= MOST_NAMES:
        size = 8 if shown else 5
        axes.set_xticks(range(count), picture.classes, rotation=90, fontsize=size)
        axes.set_yticks(range(count), picture.classes, fontsize=size)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    figure.suptitle(picture.title, fontsize=10, wrap=True)
    bar = figure.colorbar(image, ax=axes, label="% of the true class", fraction=0.04, pad=0.02)
    bar.outline.set_visible(False)
    return figure


def draw_surface(picture: Surface) -> Figure:
    """Values as shades, with contour lines; the middle is marked."""
    figure = Figure(figsize=(6.0, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    values = [[math.nan if v is None else v for v in row] for row in picture.values]
    at = picture.distances
    # A root, because the loss far from alpha is many times the loss near it.
    known = [v for row in values for v in row if not math.isnan(v)]
    norm = PowerNorm(0.5, vmin=min(known, default=0.0), vmax=max(known, default=1.0))
    image = axes.pcolormesh(at, at, values, cmap="viridis", norm=norm, shading="nearest")
    if len(known) == len(at) ** 2 and len(at) > 1 and min(known) < max(known):
        low, high = min(known), max(known)
        levels = [low + (high - low) * (n / 9) ** 2 for n in range(1, 9)]
        lines = axes.contour(at, at, values, levels=levels, colors="#ffffff", linewidths=0.7)
        axes.clabel(lines, fontsize=7, fmt="%.3g")
    axes.plot(0, 0, "o", color=PALETTE[1], ms=6, mfc="#ffffff", mew=1.6)
    axes.set_xlabel(picture.labels[0])
    axes.set_ylabel(picture.labels[1])
    figure.suptitle(picture.title, fontsize=11)
    bar = figure.colorbar(image, ax=axes, label="validation loss (nats)", fraction=0.05, pad=0.02)
    bar.outline.set_visible(False)
    return figure


def _draw(picture: Picture) -> Figure:
    match picture:
        case Heatmap():
            return draw_heatmap(picture)
        case History():
            return draw_history(picture)
        case Curves():
            return draw_curves(picture)
        case Multiples():
            return draw_multiples(picture)
        case Confusion():
            return draw_confusion(picture)
        case Surface():
            return draw_surface(picture)


def draw_all(jobs: list[Job]) -> dict[str, bytes]:
    """File name -> content of every file of every job."""
    mpl.rcdefaults()
    out: dict[str, bytes] = {}
    with mpl.rc_context(SETTINGS):
        for job in jobs:
            figure = _draw(job.picture)
            # Laid out once for all formats: with axes per edge that takes longest.
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
            for name, kind in job.files.items():
                buffer = io.BytesIO()
                figure.savefig(buffer, format=kind, dpi=PNG_DPI, metadata=METADATA[kind])
                out[name] = buffer.getvalue()
    return out


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Job])
    sys.stdout.buffer.write(msgspec.json.encode(draw_all(given)))
