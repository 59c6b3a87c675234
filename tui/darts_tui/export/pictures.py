"""Heatmaps, curves and confusion matrices as values, and the child process that draws them.

matplotlib imports numpy, which `darts_tui` must not. So the values go to
`python -m darts_tui.export.figures` as JSON, and the drawn files come back as JSON.
"""

import sys
from collections.abc import Mapping, Sequence

import msgspec

from darts_engine.run.architecture.genotype import ONLY_CELLS, Genotype
from darts_engine.run.architecture.kept import kept_columns, row_labels
from darts_engine.run.architecture.layout import CellLayout, Matrix
from darts_engine.run.errors import RunError
from darts_engine.run.events import AlphaSampled, ScheduleSpan
from darts_engine.run.state import RunState
from darts_tui.console.safe_text import clean
from darts_tui.export.dot import state_name
from darts_tui.export.render import ChildError, RenderError, fonts, run_child

# More than any cell has. A damaged log may announce anything.
MAX_ROWS, MAX_COLUMNS = 500, 64

# "c_{k-2}" -> "cₖ₋₂"
SUBSCRIPT = str.maketrans("k-12", "ₖ₋₁₂", "_{}")

Points = list[tuple[float, float]]


class Heatmap(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Mixing weights of a cell: a row per edge, a column per operation.

    In spaces whose nodes choose, a row is a node, and a column may be a parent.

    Attributes:
        title: the heading.
        rows: labels of the rows.
        columns: labels of the columns.
        values: the weights; None where a weight was not finite.
        kept: (row, column) of each derived operation.
        groups: the number of rows of each node.
    """

    title: str
    rows: list[str]
    columns: list[str]
    values: Matrix
    kept: list[tuple[int, int]]
    groups: list[int]


class History(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Mixing weights of a cell over the epochs: a small plot per edge, a line per operation.

    `values[i]` is the matrix at the end of epoch `epochs[i]`, with rows, columns and `kept` as in a
    heatmap. Edges into the same node stand in one line: `places[row]` is (line, column).
    """

    title: str
    rows: list[str]
    columns: list[str]
    places: list[tuple[int, int]]
    epochs: list[int]
    values: list[Matrix]
    kept: list[tuple[int, int]]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A curve over epochs. `colour` is an index into the palette; a faint line is a background."""

    label: str
    points: Points
    colour: int = 0
    faint: bool = False


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """Axes of a picture of curves; `mark` is a point to mark, `division` an x with its meaning."""

    label: str
    lines: list[Line]
    logarithmic: bool = False
    mark: tuple[float, float] | None = None
    mark_label: str = ""
    division: tuple[float, str] | None = None


class Curves(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Panels above each other that share the epochs from 0 to `epochs`, or another x."""

    title: str
    panels: list[Panel]
    epochs: float
    x_label: str = "epoch"
    start: float = 0.0


class Multiples(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A small plot for each line, all of one scale, with the other lines behind it.

    Attributes:
        title: the heading.
        label: the label of the y axis.
        lines: one per plot; none is faint.
        epochs: the end of the x axis; it begins at 0.
        by_size: whether the y axis is logarithmic, and linear around zero.
    """

    title: str
    label: str
    lines: list[Line]
    epochs: float
    by_size: bool = False


class Surface(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Values in a square: `values[row][column]` at (distances[column], distances[row])."""

    title: str
    labels: list[str]
    distances: list[float]
    values: Matrix


class Confusion(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Images by true class (a row each) and predicted class (a column each)."""

    title: str
    classes: list[str]
    counts: list[list[int]]


Picture = Heatmap | History | Curves | Multiples | Confusion | Surface


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A picture and its files: name -> "svg", "png" or "pdf"."""

    picture: Picture
    files: dict[str, str]


def draw(jobs: list[Job]) -> dict[str, bytes]:
    """Draw all pictures in one child process.

    Returns:
        File name -> content.

    Raises:
        RenderError: matplotlib is missing or failed.
    """
    command = [sys.executable, "-P", "-m", "darts_tui.export.figures"]
    try:
        with fonts() as environment:
            made = run_child(command, msgspec.json.encode(jobs), environment)
        return msgspec.json.decode(made, type=dict[str, bytes])
    except (OSError, ChildError, msgspec.MsgspecError) as error:
        raise RenderError(
            "the pictures could not be drawn",
            where=clean(error, 200),
            remedy="install matplotlib: pip install matplotlib",
        ) from None


def heatmap(layout: CellLayout, sample: AlphaSampled, genotype: Genotype, title: str) -> Heatmap:
    """The mixing weights of one cell, with the operations of `genotype` marked.

    Raises:
        RunError: the sample has no such cell, or another shape than the run announced.
    """
    nodes = sorted({target for _, target in layout.edges})
    return Heatmap(
        title=clean(title),
        values=_weights(layout, sample),
        rows=_edge_names(layout),
        columns=[clean(name) for name in layout.operations],
        kept=_kept(layout, genotype),
        # If rows are nodes, no lines divide them.
        groups=[sum(target == node for _, target in layout.edges) for node in nodes]
        if layout.shows == "edges"
        else [len(layout.edges)],
    )


def history(
    layout: CellLayout, samples: list[AlphaSampled], genotype: Genotype, title: str
) -> History:
    """The mixing weights of one cell at the end of each epoch, with the operations of `genotype`.

    Raises:
        RunError: as `heatmap`.
    """
    nodes = sorted({target for _, target in layout.edges})
    taken = dict.fromkeys(nodes, 0)
    places: list[tuple[int, int]] = []
    for _, target in layout.edges:
        is_edge = layout.shows == "edges"
        places.append((nodes.index(target), taken[target]) if is_edge else (0, len(places)))
        taken[target] += 1
    values = [_weights(layout, sample) for sample in samples]
    return History(
        title=clean(title),
        rows=_edge_names(layout),
        columns=[clean(name) for name in layout.operations],
        places=places,
        epochs=[sample.epoch for sample in samples],
        values=values,
        kept=_kept(layout, genotype),
    )


def _weights(layout: CellLayout, sample: AlphaSampled) -> Matrix:
    """The cell's matrix, after a check of its shape against the announced one."""
    values = sample.weights.get(layout.name, [])
    shape_holds = (
        0 < len(values) == len(layout.edges) <= MAX_ROWS
        and 0 < len(layout.operations) <= MAX_COLUMNS
        and all(len(row) == len(layout.operations) for row in values)
        and all(0 <= source <= target for source, target in layout.edges)
        and (layout.shows != "edges" or all(source < target for source, target in layout.edges))
        and len(row_labels(layout)) == len(layout.edges)
    )
    if not shape_holds:
        raise RunError(
            f"the alphas of the {layout.name} cell have another shape than the run announced",
            where=f"epoch {sample.epoch}, step {sample.step}",
        )
    return values


def _edge_names(layout: CellLayout) -> list[str]:
    """Edges as "cₖ₋₂ → 0", in Unicode: matplotlib's own markup takes seconds to draw."""
    if layout.shows != "edges":
        return [clean(label) for label in row_labels(layout)]
    if layout.name in ONLY_CELLS:
        return [f"{source} → {target}" for source, target in layout.edges]
    names = [state_name(state).translate(SUBSCRIPT) for state in (0, 1)]
    return [f"{names[s] if s < 2 else state_name(s)} → {state_name(t)}" for s, t in layout.edges]


def _kept(layout: CellLayout, genotype: Genotype) -> list[tuple[int, int]]:
    """The (row, column) of each derived operation in the cell's matrix."""
    return [
        (row, column)
        for row, columns in enumerate(kept_columns(layout, genotype))
        for column in columns
        if column < len(layout.operations)
    ]


def curves(state: RunState, title: str) -> Curves:
    """Loss, accuracy or perplexity, and learning rate of a run over its epochs."""
    valid = "test" if state.kind == "train" and not state.is_text else "validation"
    finished = state.epochs

    def over_epochs(name: str) -> Points:
        found = [(float(e.epoch), getattr(e, name)) for e in finished]
        return [(epoch, value) for epoch, value in found if value is not None]

    places = state.epochs_at(state.train_loss.x)
    each_step = list(zip(places, state.train_loss.y, strict=True))
    first = state.averaging_from
    division = None if first is None else (float(first - 1), "weights averaged from here")
    loss = Panel(
        label="loss (nats)",
        logarithmic=True,
        lines=[
            Line(label="train, by step", points=each_step, faint=True),
            Line(label="train", points=over_epochs("train_loss")),
            Line(label=valid, points=over_epochs("valid_loss"), colour=1),
        ],
        division=division,
    )
    best = state.best
    perplexity = Panel(
        label="perplexity",
        logarithmic=True,
        lines=[
            Line(label="train", points=over_epochs("train_perplexity")),
            Line(label=valid, points=over_epochs("valid_perplexity"), colour=1),
        ],
        mark=(float(best.epoch), best.valid_perplexity) if best and best.valid_perplexity else None,
        mark_label=f"best {best.valid_perplexity:.2f}, epoch {best.epoch}"
        if best and best.valid_perplexity
        else "",
        division=division,
    )
    accuracy = Panel(
        label="top-1 accuracy (%)",
        lines=[
            Line(label="train", points=over_epochs("train_top1")),
            Line(label=valid, points=over_epochs("valid_top1"), colour=1),
        ],
        mark=(float(best.epoch), best.valid_top1) if best and best.valid_top1 else None,
        mark_label=f"best {best.valid_top1:.2f} %, epoch {best.epoch}"
        if best and best.valid_top1
        else "",
    )
    panels = [loss, perplexity if state.is_text else accuracy]
    planned = state.started.schedules if state.started else []
    if rate := next((span for span in planned if "lr" in span.name), None):
        panels.append(_schedule(rate, state.epoch))
    return Curves(title=clean(title), panels=panels, epochs=float(max(1, state.epoch)))


def _schedule(span: ScheduleSpan, until: int) -> Panel:
    points = [(float(epoch), value) for epoch, value in enumerate(span.values, 1)]
    lines = [Line(label=clean(span.label), points=points[:until], colour=2)]
    return Panel(label=clean(span.label), lines=lines)


def health(state: RunState, title: str) -> Curves:
    """Entropy, margin, skip share, eigenvalue, gap and mean shift over a search's epochs."""
    panels = [
        _per_cell("entropy (nats)", [(h.epoch, h.entropy) for h in state.health]),
        _per_cell("edge margin", [(f.epoch, f.margin) for f in state.edge_figures]),
        _per_cell("skip share", [(f.epoch, f.skip_share) for f in state.edge_figures]),
        _per_cell("eigenvalue", [(h.epoch, {"dominant": h.eigenvalue}) for h in state.health]),
        _gap(state),
        _per_cell("hidden state (L2)", [(h.epoch, {"mean": h.hidden_norm}) for h in state.health]),
        _per_cell("mean shift (L2)", [(s.epoch, s.shift) for s in state.epoch_shifts.values()]),
    ]
    drawn = [panel for panel in panels if panel.lines]
    return Curves(title=clean(title), panels=drawn, epochs=float(max(1, state.epoch)))


def _gap(state: RunState) -> Panel:
    """The supernet before and after it is cut; by its loss where it has no accuracy."""
    label, kind = ("loss (nats)", "loss") if state.is_text else ("top-1 (%)", "top1")
    parts = {"supernet": "supernet", "cut": "derived", "cut, own statistics": "renewed"}
    figures = [
        (g.epoch, {name: getattr(g, f"{part}_{kind}") for name, part in parts.items()})
        for g in state.gaps
    ]
    return _per_cell(label, figures)


def _per_cell(label: str, by_epoch: Sequence[tuple[int, Mapping[str, float | None]]]) -> Panel:
    names = dict.fromkeys(name for _, values in by_epoch for name in values)
    found = {
        name: [(float(e), v) for e, values in by_epoch if (v := values.get(name)) is not None]
        for name in names
    }
    lines = [
        Line(label=clean(name), points=points, colour=colour)
        for colour, (name, points) in enumerate(found.items())
        if points
    ]
    return Panel(label=label, lines=lines)


def spectrum(eigenvalues: Sequence[float], title: str) -> Curves:
    """Eigenvalues in rising order."""
    points = [(float(number), value) for number, value in enumerate(eigenvalues, 1)]
    panel = Panel(label="eigenvalue", lines=[Line(label="eigenvalue", points=points)])
    return Curves(
        title=clean(title), panels=[panel], epochs=float(len(points)), x_label="number", start=1.0
    )


def walks(
    lines: Sequence[tuple[str, list[float], list[float | None], list[float | None]]], title: str
) -> Curves:
    """Loss and accuracy over the distance along lines: name, distances, losses, accuracies."""

    def panel(label: str, which: int) -> Panel:
        drawn = []
        for colour, line in enumerate(lines):
            values: list[float | None] = [line[2], line[3]][which]
            points = [(d, v) for d, v in zip(line[1], values, strict=True) if v is not None]
            drawn.append(Line(label=line[0], points=points, colour=colour))
        return Panel(label=label, lines=drawn)

    ends = [distance for _, distances, *_ in lines for distance in distances]
    return Curves(
        title=clean(title),
        panels=[panel("validation loss (nats)", 0), panel("top-1 accuracy (%)", 1)],
        epochs=max(ends, default=1.0),
        x_label="distance from alpha (L2)",
        start=min(ends, default=0.0),
    )
