"""Events as lines for people.

The dashboard's event list, the plain progress printer and `darts-tui tail` share this wording.
"""

from typing import NamedTuple

from darts_engine.run import events
from darts_engine.run.architecture.genotype import ONLY_CELLS, OUTPUT, GenotypeChange
from darts_engine.run.architecture.networks import wide_in
from darts_engine.run.events import AnyEvent

SHORT_OPERATIONS = {
    "none": "none",
    "max_pool_3x3": "max3",
    "avg_pool_3x3": "avg3",
    "skip_connect": "skip",
    "sep_conv_3x3": "sep3",
    "sep_conv_5x5": "sep5",
    "sep_conv_7x7": "sep7",
    "dil_conv_3x3": "dil3",
    "dil_conv_5x5": "dil5",
    "conv_7x1_1x7": "c7x1",
    "nor_conv_1x1": "con1",
    "nor_conv_3x3": "con3",
    "maxpool3x3": "max3x3",
    "conv3x3_bn_relu": "conv3x3",
    "conv1x1_bn_relu": "conv1x1",
    "sigmoid": "sigm",
    "identity": "id",
}
# Names of the parts of alpha in the log, and their titles.
TITLES = {
    "normal": "normal cell",
    "reduce": "reduction cell",
    "cell": "cell",
    "recurrent": "recurrent cell",
    "operations": "operations of nodes",
    "parents": "parents of nodes",
}


class Note(NamedTuple):
    """One line: a short stable tag, a level (info, warning or error), and the text.

    The text may hold foreign text unchanged; the caller passes it through `safe_text`.
    """

    tag: str
    level: str
    text: str


def short_operation(name: str) -> str:
    """The usual short form of an operation's name, or the name where there is none."""
    return SHORT_OPERATIONS.get(name, name)


def title(name: str) -> str:
    """The title of a cell type or of another part of alpha, as in "reduction cell"."""
    return TITLES.get(name, name)


def heading(name: str) -> str:
    """The title with a capital first letter, for the heading of a panel."""
    words = title(name)
    return words[:1].upper() + words[1:]


def cell_word(name: str) -> str:
    """A cell type in one word, as in "reduction"."""
    return title(name).removesuffix(" cell")


def short_part(part: str) -> str:
    """`operation(input)` with the operation shortened, as in "skip(1)"."""
    name, bracket, rest = part.partition("(")
    return short_operation(name) + bracket + rest


def human_bytes(count: float) -> str:
    """A size for people: "812 B", "45.2 MB". Powers of 1000."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(count) < 999.5 or unit == "TB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    raise AssertionError("unreachable")


def human_seconds(seconds: float) -> str:
    """A duration for people: "0:07", "12:40", "1:52:40"; from four days on "4d 03h"."""
    whole = max(0, round(seconds))
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    if hours >= 96:
        return f"{hours // 24}d {hours % 24:02d}h"
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def change_text(change: GenotypeChange) -> str:
    """The change of one node, as in "node 2 −sep3(1) +skip(1)" or "output −2 +3"."""
    parts = [f"−{short_part(p)}" for p in change.removed]
    parts += [f"+{short_part(p)}" for p in change.added]
    if parts and all(part[1:].startswith(f"{OUTPUT}(") for part in parts):
        # The output has no operations, only inputs.
        return " ".join([OUTPUT, *(f"{p[0]}{p[1:].removeprefix(OUTPUT)[1:-1]}" for p in parts)])
    return f"node {change.node} {' '.join(parts)}"


def score_text(top1: float | None, perplexity: float | None, digits: int = 2) -> str:
    """An accuracy as in "97.18 %", or a perplexity as in "58.1 ppl"; empty without either."""
    if top1 is not None:
        return f"{top1:.{digits}f} %"
    return "" if perplexity is None else f"{perplexity_text(perplexity)} ppl"


def perplexity_text(value: float) -> str:
    """A perplexity in about five characters, as in "58.10", "124.4", "6022", "4.8e+08"."""
    for end, form in ((99.995, ".2f"), (999.95, ".1f"), (99_999.5, ".0f")):
        if value < end:
            return format(value, form)
    return format(value, ".1e")


def tabulated_text(event: events.AccuracyTabulated) -> str:
    """Accuracies in a table, as in "nasbench201: cifar10-valid 90.23 %, cifar10 93.31 %"."""
    figures = [f"{name} {value:.2f} %" for name, value in event.values.items()]
    return f"{event.table}: {', '.join(figures)}"


def note(event: AnyEvent) -> Note | None:
    """The line for an event, or None for events that only panels show."""
    match event:
        case events.RunStarted():
            return _started(event)
        case events.Rewound(to_step=step, to_epoch=epoch, checkpoint=path, reason=reason):
            why = f": {reason}" if reason else ""
            text = f"went back to epoch {epoch}, step {step} ({path}){why}"
            return Note("rewind", "warning", text)
        case events.GenotypeDerived():
            return _derived(event)
        case events.AccuracyTabulated():
            return Note("table", "info", tabulated_text(event))
        case events.EpochFinished():
            return _epoch(event)
        case events.CheckpointSaved(path=path, size_bytes=size, seconds=seconds, reason=reason):
            return Note("save", "info", f"{path}, {human_bytes(size)} in {seconds:.1f} s, {reason}")
        case events.CommandAccepted(command=command, source=source):
            return Note("cmd", "info", f"{command} asked for{f' by {source}' if source else ''}")
        case events.CommandDone(command=command, seconds=seconds):
            return Note("cmd", "info", f"{command} done after {seconds:.2f} s")
        case events.CommandRejected(command=command, reason=reason):
            return Note("cmd", "warning", f"{command or 'a command'} refused: {reason}")
        case events.RunPaused(epoch=epoch, step=step, reason=reason):
            level = "info" if reason == "command" else "warning"
            why = "" if reason == "command" else f": {reason}"
            return Note("pause", level, f"holding at epoch {epoch}, step {step}{why}")
        case events.RunContinued(epoch=epoch, step=step):
            return Note("go", "info", f"going on from epoch {epoch}, step {step}")
        case events.RunStopping(reason=reason):
            return Note("stop", "info", f"stopping: {reason}")
        case events.RunStopped(epoch=epoch, step=step, reason=reason):
            return Note("stop", "info", f"stopped at epoch {epoch}, step {step}: {reason}")
        case events.TestMeasured():
            return _tested(event)
        case events.RunFinished():
            return _finished(event)
        case events.RunFailed(message=message, exit_code=code):
            lines = "; ".join(message.splitlines())
            return Note("fail", "error", f"{lines} (exit code {code})")
        case events.LogWritten(level=level, message=message):
            known = level if level in ("info", "warning", "error") else "info"
            return Note("log", known, message)
        case events.AlertRaised(message=message):
            return Note("warn", "warning", message)
        case events.HvpChecked(gradient_distance=distance) if distance is not None:
            return Note("hvp", "info", f"finite difference: alpha's gradient is {distance:.0%} off")
        case events.GapMeasured(supernet_top1=whole, derived_top1=cut, renewed_top1=renewed):
            if whole is None and cut is None:
                return _loss_gap(event)
            figures = [f"{top1:.1f} %" if top1 is not None else "–" for top1 in (whole, cut)]
            own = f" ({renewed:.1f} % with its own statistics)" if renewed is not None else ""
            return Note(
                "gap", "info", f"supernet {figures[0]}, cut to its genotype {figures[1]}{own}"
            )
        case events.EventsDropped(count=count):
            return Note("drop", "warning", f"{count} events could not be written before this one")
        case _:
            return None


def _started(event: events.RunStarted) -> Note:
    parts = (event.kind, wide_in(event.config), event.method, event.space, event.dataset)
    what = " · ".join(filter(None, parts))
    if event.resumed_at_step is not None:
        return Note("start", "info", f"{what} resumed at step {event.resumed_at_step}")
    count = event.parameters
    size = f"{count / 1e6:.2f} M parameters" if count >= 10_000 else f"{count:,} parameters"
    return Note("start", "info", f"{what}, {event.epochs} epochs, {size}, {event.device}")


def _loss_gap(event: events.GapMeasured) -> Note:
    """The gap of a network that has no accuracy."""
    losses = (event.supernet_loss, event.derived_loss, event.renewed_loss)
    whole, cut, own = (None if loss is None else f"{loss:.3f} nats" for loss in losses)
    beside = f" ({own} with its own statistics)" if own else ""
    return Note("gap", "info", f"supernet {whole or '–'}, cut to its genotype {cut or '–'}{beside}")


def _epoch(event: events.EpochFinished) -> Note:
    halves = []
    for label, loss, top1, perplexity in (
        ("train", event.train_loss, event.train_top1, event.train_perplexity),
        ("valid", event.valid_loss, event.valid_top1, event.valid_perplexity),
    ):
        figures = [f"{loss:.3f}"] if loss is not None else []
        figures += [score_text(top1, perplexity, 1)]
        figures = [figure for figure in figures if figure]
        if figures:
            halves.append(f"{label} {' '.join(figures)}")
    best = ", best so far" if event.is_best else ""
    text = f"epoch {event.epoch}: {', '.join(halves)}{best} ({event.seconds:.1f} s)"
    return Note("epoch", "info", text)


def _derived(event: events.GenotypeDerived) -> Note | None:
    if not event.changed:
        return None
    cells: dict[str, list[str]] = {}
    for change in event.changed:
        cells.setdefault(change.cell, []).append(change_text(change))
    # With only one cell type, its name is left out.
    names = {cell: "" if cell in ONLY_CELLS else f"{cell} " for cell in cells}
    text = "; ".join(f"{names[cell]}{', '.join(parts)}" for cell, parts in cells.items())
    return Note("cells", "info", text)


def _tested(event: events.TestMeasured) -> Note:
    whose = "the last weights" if event.epoch is None else f"the weights of epoch {event.epoch}"
    figures = [] if event.test_loss is None else [f"{event.test_loss:.3f}"]
    figures += [] if event.test_top1 is None else [f"{event.test_top1:.2f} %"]
    text = f"{whose} on {event.images:,} test images, looked at once"
    return Note("test", "info", ": ".join(filter(None, (text, " ".join(figures)))))


def _finished(event: events.RunFinished) -> Note:
    text = f"finished in {human_seconds(event.seconds)}"
    if best := score_text(event.best_top1, event.best_perplexity):
        text += f", best {best}"
        text += f" at epoch {event.best_epoch}" if event.best_epoch else ""
        if event.best_divergence is not None:
            text += f", divergence {event.best_divergence:.4f} nats"
    return Note("done", "info", text)
