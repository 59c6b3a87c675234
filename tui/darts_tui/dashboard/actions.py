"""The table of actions: everything a user can do in the dashboard.

Key bindings, the tab bar, the footer, the command palette and the help are all made from this
table. The app has a method for each action; nothing here imports the app.
"""

from collections.abc import Callable
from dataclasses import dataclass

from textual.binding import Binding

from darts_tui.dashboard.panels.view import View


def _always(_view: View) -> bool:
    return True


def _until_the_end(view: View) -> bool:
    return not view.is_over


def _with_alpha(view: View) -> bool:
    return not view.is_training


def _with_several_cells(view: View) -> bool:
    cells = view.state.started.cells if view.state.started else None
    return not view.is_training and (cells is None or len(cells) > 1)


@dataclass(frozen=True)
class Action:
    """One thing a user can do.

    Attributes:
        name: unique; also the id of the key binding.
        keys: the bound keys as Textual names them, comma-separated.
        call: the app's method and its arguments; "scrub(-1)" calls `action_scrub(-1)`.
        section: the heading in the help; empty where the help leaves the action out.
        help: the line in the help.
        label: the name in the palette.
        hint: what the palette prints after the key.
        word: the word in the footer or in the tab bar.
        printed: the main key as it is printed, where that is not `keys`.
        other_keys: further keys that the help prints.
        applies: whether the action is possible for a run as it is; if not, the footer or the tab
            bar leaves it out.
    """

    name: str
    keys: str
    call: str
    section: str = ""
    help: str = ""
    label: str = ""
    hint: str = ""
    word: str = ""
    printed: str = ""
    other_keys: str = ""
    applies: Callable[[View], bool] = _always

    @property
    def key(self) -> str:
        """The main key as it is printed."""
        return self.printed or self.keys

    @property
    def binding(self) -> Binding:
        """The action's keys, for Textual."""
        return Binding(self.keys, self.call, self.label or self.help, id=self.name)


ENGINE, TIME, SHOW = "Engine", "Time", "Show"

# fmt: off
PAUSE = Action("pause", "p", "pause", ENGINE, "pause, resume",
               label="Pause or resume", word="Pause", applies=_until_the_end)
CHECKPOINT = Action("checkpoint", "c", "checkpoint", ENGINE, "checkpoint now",
                    label="Checkpoint now", word="Checkpoint", applies=_until_the_end)
STOP = Action("stop", "x", "stop", ENGINE, "stop ...",
              label="Stop ...", word="Stop", applies=_until_the_end)
DISCRETISE = Action("discretise", "d", "discretise", ENGINE, "discretisation gap",
                    label="Discretisation gap", hint="the supernet cut to its genotype")
EXPORT = Action("export", "e", "export", ENGINE, "export pictures, tables",
                label="Export", hint="cells, alphas, curves as files", word="Export")
DETACH = Action("detach", "q,ctrl+c,ctrl+q", "detach", ENGINE, "detach; engine goes on",
                label="Detach", hint="the engine goes on", word="Detach",
                printed="q", other_keys="ctrl+c")

# A pair of keys shares the line of the first in the help.
SCRUB = Action("scrub-back", "left_square_bracket", "scrub(-1)", TIME, "one epoch back, on",
               word="Scrub", printed="[ ]")
SCRUB_ON = Action("scrub-on", "right_square_bracket", "scrub(1)")
SCRUB_10 = Action("scrub-back-10", "left_curly_bracket", "scrub(-10)", TIME, "ten epochs back, on",
                  printed="{ }")
SCRUB_10_ON = Action("scrub-on-10", "right_curly_bracket", "scrub(10)")
LIVE = Action("live", "0", "live", TIME, "back to live",
              label="Live", hint="back from an earlier epoch")

NEXT_CELL = Action("cell", "n", "next_cell", SHOW, "other cell",
                   label="Other cell", word="Cell", applies=_with_several_cells)
SMOOTH = Action("smooth", "s", "smooth", SHOW, "smooth curves 0, .6, .9",
                label="Smooth curves", word="Smooth")
LOG_SCALE = Action("log-scale", "y", "log_scale", SHOW, "logarithmic loss",
                   label="Logarithmic loss", word="Log scale")
NEXT_THEME = Action("theme", "t", "next_theme", SHOW, "next theme", word="Theme")
PALETTE = Action("palette", "colon,ctrl+p", "command_palette", SHOW, "command palette",
                 word="Palette", printed=":", other_keys="ctrl+p")
HELP = Action("help", "question_mark,f1", "help", SHOW, "this help",
              label="Help", hint="all keys", word="Help", printed="?", other_keys="F1")
# fmt: on


def _tab(key: str, title: str, applies: Callable[[View], bool] = _always) -> Action:
    name = title.lower()
    return Action(name, key, f"tab('{name}')", label=f"View: {title}", word=title, applies=applies)


# An action's name is the id of the tab's container.
TABS = (
    _tab("1", "Overview"),
    _tab("2", "Alpha", _with_alpha),
    _tab("3", "Curves"),
    _tab("4", "Cells"),
    _tab("5", "Schedules"),
    _tab("6", "Health"),
    _tab("7", "System"),
    _tab("8", "Log"),
    _tab("9", "Runs"),
)
# The tenth tab, which is there only where an installed package adds a panel.
ADDED = _tab("a", "Added")

ACTIONS = (
    PAUSE,
    CHECKPOINT,
    STOP,
    DISCRETISE,
    EXPORT,
    DETACH,
    SCRUB,
    SCRUB_ON,
    SCRUB_10,
    SCRUB_10_ON,
    LIVE,
    NEXT_CELL,
    SMOOTH,
    LOG_SCALE,
    NEXT_THEME,
    PALETTE,
    HELP,
    *TABS,
)
