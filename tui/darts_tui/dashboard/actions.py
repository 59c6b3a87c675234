"""The keys of the dashboard; every one has an id and a line in the help."""

from textual.binding import Binding, BindingType

from darts_tui.dashboard.screens.dashboard import TABS

KEYS: list[BindingType] = [
    Binding("q,ctrl+c,ctrl+q", "detach", "Detach", id="detach"),
    Binding("p", "pause", "Pause or resume", id="pause"),
    Binding("c", "checkpoint", "Checkpoint", id="checkpoint"),
    Binding("x", "stop", "Stop", id="stop"),
    Binding("d", "discretise", "Discretisation gap", id="discretise"),
    Binding("e", "export", "Export", id="export"),
    Binding("n", "next_cell", "Other cell", id="cell"),
    Binding("t", "next_theme", "Next theme", id="theme"),
    Binding("s", "smooth", "Smooth curves", id="smooth"),
    Binding("y", "log_scale", "Logarithmic loss", id="log-scale"),
    Binding("left_square_bracket", "scrub(-1)", "Epoch back", id="scrub-back"),
    Binding("right_square_bracket", "scrub(1)", "Epoch on", id="scrub-on"),
    Binding("left_curly_bracket", "scrub(-10)", "Ten epochs back", id="scrub-back-10"),
    Binding("right_curly_bracket", "scrub(10)", "Ten epochs on", id="scrub-on-10"),
    Binding("0", "live", "Live", id="live"),
    Binding("question_mark,f1", "help", "Help", id="help"),
    Binding("colon,ctrl+p", "command_palette", "Palette", id="palette"),
    *(Binding(tab.key, f"tab('{tab.name}')", tab.title, id=tab.name) for tab in TABS),
]
