"""Before the first step, the card shows the progress of a download."""

from darts_engine.run import events
from darts_engine.run.state import fold_all
from darts_tui.dashboard.panels.notice import StartingPanel
from darts_tui.dashboard.panels.view import View


def test_the_starting_card_shows_a_download_and_cleans_its_name() -> None:
    event = events.DownloadProgressed(
        file="cifar-10\x1b[31m.tar.gz", done_bytes=73_000_000, total_bytes=170_000_000
    )
    shown = StartingPanel().content(View(fold_all([event]), "run"), 80, 10)
    text = "\n".join("".join(span.text for span in row) for row in shown.rows)
    assert "Fetching cifar-10" in text
    assert "43%" in text
    assert "73 of 170 MB" in text
    assert "\x1b" not in text
