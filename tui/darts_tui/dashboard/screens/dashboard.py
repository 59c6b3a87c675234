"""The main screen: header, tabs, and one set of panels for each tab."""

from collections.abc import Iterator, Sequence

from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import ContentSwitcher, Static

from darts_tui.dashboard.actions import ADDED, TABS, Action
from darts_tui.dashboard.panels.alphas import AlphaPanel
from darts_tui.dashboard.panels.curves import AccuracyPanel, LossPanel, PerplexityPanel
from darts_tui.dashboard.panels.decisions import DecisionsPanel
from darts_tui.dashboard.panels.events import EventsPanel
from darts_tui.dashboard.panels.footer import Footer, Ticker
from darts_tui.dashboard.panels.genotype import GenotypePanel, HistoryPanel
from darts_tui.dashboard.panels.header import Header, Tabs
from darts_tui.dashboard.panels.health import HealthPanel
from darts_tui.dashboard.panels.notice import NOTICED, NoticePanel, StartingPanel
from darts_tui.dashboard.panels.panel import Panel
from darts_tui.dashboard.panels.runs import RunsPanel
from darts_tui.dashboard.panels.schedules import SchedulesPanel
from darts_tui.dashboard.panels.shift import ShiftPanel
from darts_tui.dashboard.panels.system import SystemPanel
from darts_tui.dashboard.panels.view import View
from darts_tui.dashboard.panels.vitals import Vitals
from darts_tui.dashboard.screens.layout import (
    HEAT_FRAME,
    ScreenLayout,
    heat_rows,
    is_tall,
    is_too_small,
    lay_out,
)


class Dashboard(Screen[None]):
    """All panels of one run. The app calls `show` when something has changed.

    Args:
        added: panels of installed packages.
    """

    AUTO_FOCUS = ""

    def __init__(self, added: Sequence[Panel] = ()) -> None:
        super().__init__()
        self.added = added
        self.all_tabs = (*TABS, ADDED) if added else TABS
        self.tab = "overview"
        self._layout: ScreenLayout | None = None

    def compose(self) -> ComposeResult:
        """Every panel of every tab; hidden panels are not drawn."""
        yield Header(id="header")
        yield Tabs(id="tabs")
        yield NoticePanel(id="notice")
        yield StartingPanel(id="starting")
        with ContentSwitcher(initial="overview", id="body"):
            yield from self._overview()
            with Vertical(id="alpha"):
                with Horizontal(classes="cells"):
                    yield AlphaPanel(0, id="tab-alpha-0")
                    yield AlphaPanel(1, id="tab-alpha-1")
                    yield AlphaPanel(id="tab-alpha-flip")
                with Horizontal(classes="decisions"):
                    yield DecisionsPanel(0, id="decisions-0")
                    yield DecisionsPanel(1, id="decisions-1")
                    yield DecisionsPanel(id="decisions-flip")
            with Vertical(id="curves"):
                yield LossPanel(id="tab-loss")
                yield AccuracyPanel(id="tab-accuracy")
                yield PerplexityPanel(id="tab-perplexity")
            with Vertical(id="cells"):
                yield GenotypePanel(id="tab-genotype")
                yield HistoryPanel(id="history")
            yield Container(SchedulesPanel(id="tab-schedules"), id="schedules")
            yield Container(HealthPanel(id="tab-health"), ShiftPanel(id="tab-shift"), id="health")
            yield Container(SystemPanel(id="tab-system"), id="system")
            yield Container(EventsPanel(id="tab-events"), id="log")
            yield Container(RunsPanel(id="tab-runs"), id="runs")
            if self.added:
                yield Vertical(*self.added, id=ADDED.name)
        yield Ticker(id="ticker")
        yield Footer(id="footer")
        yield Static("", id="tiny", markup=False)

    def _overview(self) -> Iterator[Vertical]:
        yield Vertical(
            Horizontal(
                AlphaPanel(0, id="alpha-0"),
                AlphaPanel(1, id="alpha-1"),
                AlphaPanel(id="alpha-flip"),
                DecisionsPanel(0, id="alpha-decisions"),
                id="band-alpha",
            ),
            Vitals(id="vitals"),
            Container(
                LossPanel(id="loss"),
                AccuracyPanel(id="accuracy"),
                PerplexityPanel(id="perplexity"),
                id="band-curves",
            ),
            Horizontal(
                SchedulesPanel(id="figure-schedules"),
                ShiftPanel(id="figure-shift"),
                HealthPanel(id="figure-health"),
                GenotypePanel(id="figure-genotype"),
                SystemPanel(id="figure-system"),
                id="band-figures",
            ),
            EventsPanel(id="events"),
            id="overview",
        )

    def tabs(self, view: View) -> list[Action]:
        """The tabs that have something to show of this run."""
        return [tab for tab in self.all_tabs if tab.applies(view)]

    def show(self, view: View) -> None:
        """Show the run in the panels that are on screen."""
        if self._show_too_small():
            return
        self._divide(view)
        self.query_one(Header).show(view)
        self.query_one(Tabs).show(self.tabs(view), self.tab)
        self.query_one(Footer).show(view)
        self.query_one(Ticker).show(view, prefer_scrub=self._shows_events)
        if view.state.started is None:
            self.query_one(StartingPanel).show(view)
            return
        if view.live in NOTICED:
            self.query_one(NoticePanel).show(view)
        for panel in self.query_one(f"#{self.tab}").query("Panel"):
            if isinstance(panel, Panel) and panel.display:
                panel.show(view)
        if self.tab == "overview" and self._layout and self._layout.vitals:
            self.query_one(Vitals).show(view)

    @property
    def _shows_events(self) -> bool:
        return self.tab == "log" or bool(
            self.tab == "overview" and self._layout and self._layout.events
        )

    def switch(self, tab: str) -> None:
        """Show another tab and focus its panel, if that scrolls or has a cursor."""
        self.tab = tab
        self.query_one("#body", ContentSwitcher).current = tab
        if tab in ("log", "runs"):
            self.query_one(f"#tab-{'events' if tab == 'log' else 'runs'}").focus()
        else:
            self.set_focus(None)

    def _show_too_small(self) -> bool:
        width, height = self.size
        small = is_too_small(width, height)
        self.set_class(small, "-tiny")
        if small:
            text = f"{width} x {height} is too small.\nThe run goes on; 60 x 16 shows it."
            self.query_one("#tiny", Static).update(text)
        return small

    def _divide(self, view: View) -> None:
        """Divide the rows among the bands and hide bands without rows."""
        started = view.state.started
        notice = self.query_one(NoticePanel)
        has_notice = started is not None and view.live in NOTICED
        notice.display = has_notice
        wanted = notice.wanted_height(view, self.size.width) if has_notice else 0
        # A longer notice scrolls, and leaves room for the rest.
        notice_rows = min(wanted, self.size.height // 2 - 1)
        notice.styles.height = notice_rows
        self.set_class(started is None, "-starting")
        cells = started.cells if started else []
        heat, tall = heat_rows(cells, self.size.width), is_tall(cells)
        for tab in ("", "tab-"):
            self.query_one(f"#{tab}accuracy").display = not view.is_text
            self.query_one(f"#{tab}perplexity").display = view.is_text
        shifts = bool(view.state.epoch_shifts)
        self.query_one("#tab-shift").display = shifts
        size = self.size
        new = lay_out(
            size.width, size.height, heat, len(cells), notice_rows, shifts=shifts, tall=tall
        )
        self.set_class(new.two, "-two")
        self.set_class(new.beside, "-beside")
        if new == self._layout:
            return
        self._layout = new
        for name, rows in (
            ("band-alpha", new.alpha),
            ("vitals", new.vitals),
            ("band-curves", new.curves),
            ("band-figures", new.figures_rows),
            ("events", new.events),
        ):
            band = self.query_one(f"#{name}")
            band.display = rows > 0
            band.styles.height = rows
        self.query_one("#band-curves").set_class(new.stacked, "-stacked")
        for name in ("schedules", "shift", "health", "genotype", "system"):
            self.query_one(f"#figure-{name}").display = name in new.figures
        self.query_one(".cells").styles.max_height = heat + HEAT_FRAME
