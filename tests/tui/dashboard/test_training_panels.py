"""What the panels show of a training."""

import msgspec
import pytest
from fake_story import made_up_events

from darts_engine.run import events
from darts_engine.run.state import fold_all
from darts_tui.console.event_text import note
from darts_tui.dashboard.panels.curves import AccuracyPanel, LossPanel
from darts_tui.dashboard.panels.header import header_line
from darts_tui.dashboard.panels.health import HealthPanel
from darts_tui.dashboard.panels.schedules import SchedulesPanel
from darts_tui.dashboard.panels.view import View


def view(story, **how) -> View:
    return View(state=fold_all(story), name="t", live="running", **how)


def text_of(panel, shown: View, width: int = 78, height: int = 12) -> str:
    """Title, status and rows of a panel as text."""
    content = panel.content(shown, width, height)
    lines = [content.title, content.status, *content.rows]
    return "\n".join("".join(span.text for span in line or ()) for line in lines)


@pytest.fixture(scope="module")
def story():
    return made_up_events(kind="train")


def test_the_auxiliary_loss_and_top5_stand_beside_loss_and_top1(story):
    last = [f for f in story if isinstance(f, events.EpochFinished)][-1]
    assert f"aux {last.auxiliary_loss:.3f}" in text_of(LossPanel(), view(story))
    text = text_of(AccuracyPanel(), view(story))
    assert f"top-5 {last.valid_top5:.1f}" in text
    assert "best 97.7 at 23" in text


def test_without_an_auxiliary_head_or_with_few_classes_they_are_left_out(story):
    changes = {
        events.RunStarted: {"classes": ["a", "b", "c", "d", "e"]},
        events.EpochFinished: {"auxiliary_loss": None},
    }
    changed = [msgspec.structs.replace(f, **changes.get(type(f), {})) for f in story]
    assert "aux" not in text_of(LossPanel(), view(changed))
    assert "top-5" not in text_of(AccuracyPanel(), view(changed))


def test_the_divergence_from_smoothed_labels_is_in_the_loss_panel_s_frame(story):
    smoothed = [
        msgspec.structs.replace(f, valid_divergence=f.epoch / 100)
        if isinstance(f, events.EpochFinished)
        else f
        for f in story
    ]
    last = [f for f in smoothed if isinstance(f, events.EpochFinished)][-1]
    assert f"\nKL {last.valid_divergence:.4f}\n" in text_of(LossPanel(), view(smoothed))
    then = text_of(LossPanel(), view(smoothed, epoch=7, log_loss=True))
    assert "\nKL 0.0700 · log\n" in then
    assert "KL" not in text_of(LossPanel(), view(story))


def test_the_last_line_has_the_best_epoch_s_divergence_where_there_is_one():
    ended = events.RunFinished(seconds=62.0, best_top1=84.36, best_epoch=190)
    assert note(ended).text == "finished in 1:02, best 84.36 % at epoch 190"
    smoothed = msgspec.structs.replace(ended, best_divergence=0.50812)
    assert note(smoothed).text.endswith("epoch 190, divergence 0.5081 nats")


def test_a_search_shows_neither(story):
    search = made_up_events(kind="search", epochs_done=3)
    assert "aux" not in text_of(LossPanel(), view(search))
    assert "top-5" not in text_of(AccuracyPanel(), view(search))
    assert "saved" not in text_of(HealthPanel(), view(search))


def test_the_best_and_the_last_checkpoint_are_those_of_the_shown_epoch(story):
    assert "best saved   epoch 23, 97.7 %" in text_of(HealthPanel(), view(story))
    then = text_of(HealthPanel(), view(story, epoch=22))
    assert "last saved   epoch 22, " in then
    assert "best saved   epoch 21, " in then


def test_a_checkpoint_in_the_middle_of_an_epoch_has_its_step(story):
    saved = events.CheckpointSaved(
        path="x", reason="command", epoch=24, step=4, global_step=257, size_bytes=1, seconds=0.1,
        seq=story[-1].seq + 1,
    )  # fmt: skip
    text = text_of(HealthPanel(), view([*story, saved]))
    assert "last saved   epoch 24, step 4" in text
    assert "best saved   epoch 23, 97.7 %" in text


WIDE_SAM = {
    "network": {"network": "wrn-34-10"},
    "data": {"cutout": 16, "cutout_prob": 0.5},
    "train": {"epochs": 200, "label_smoothing": 0.1},
    "weights": {"warmup": 0.02, "sam_rho": 0.1, "ema": 0.999},
}


def configured(story, config):
    return [
        msgspec.structs.replace(f, config=config) if isinstance(f, events.RunStarted) else f
        for f in story
    ]


def test_the_header_names_a_network_that_has_no_genotype(story):
    def header(shown):
        return "".join(span.text for span in header_line(shown, 160))

    assert "train · wrn-34-10 · digits" in header(view(configured(story, WIDE_SAM)))
    assert "train · digits" in header(view(story))


def test_what_never_changes_stands_below_the_schedules_where_there_is_room(story):
    text = text_of(SchedulesPanel(), view(configured(story, WIDE_SAM)))
    assert "\ncutout 16 px p 0.5, warm-up 4 epochs, smoothing 0.1, SAM rho 0.1, EMA 0.999" in text
    narrow = text_of(SchedulesPanel(), view(configured(story, WIDE_SAM)), width=30)
    assert "\ncutout 16 px p 0.5,\nwarm-up 4 epochs,\n" in narrow
    assert "cutout" not in text_of(SchedulesPanel(), view(configured(story, WIDE_SAM)), height=4)
    odd = {"network": [1], "data": None, "train": {"epochs": "x"}, "weights": {"ema": [0.9]}}
    assert "SAM" not in text_of(SchedulesPanel(), view(configured(story, odd)))
