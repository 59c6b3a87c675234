"""The two bars of `--progress rich`: they only grow, and are full at the end."""

import pytest
from fake_story import made_up_events
from stories.recurrent import text_events

from darts_engine.run import events
from darts_engine.run.events import AnyEvent
from darts_engine.run.state import RunState, fold
from darts_tui.printing.printers import Bars

STORIES = {
    "images": made_up_events(epochs=4, phase="finished"),
    "text": text_events(kind="train", epochs=20, phase="finished"),
}


@pytest.mark.parametrize("name", STORIES)
def test_bars_never_shrink_or_overflow(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    state, before = RunState(), 0.0
    view = Bars(state)
    for event in STORIES[name]:
        fold(state, event)
        view.take(b"", event)
        epoch, run = view._bars.tasks
        assert before <= run.completed <= (run.total or 0)
        assert epoch.completed <= (epoch.total or 0)
        before = run.completed
    assert before == view._bars.tasks[1].total
    figures = view._bars.tasks[1].fields["figures"]
    view.close()
    best = _best(STORIES[name])
    assert figures == f"best {best}"
    assert best in capsys.readouterr().out


def _best(story: list[AnyEvent]) -> str:
    done = [event for event in story if isinstance(event, events.EpochFinished)]
    if done[0].valid_top1 is None:
        return f"{min(e.valid_perplexity or 0.0 for e in done):.1f} ppl"
    return f"{max(e.valid_top1 or 0.0 for e in done):.1f} %"
