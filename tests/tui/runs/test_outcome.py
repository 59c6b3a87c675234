"""What a list of runs shows, read from the two ends of a log, is what the whole log says."""

from pathlib import Path

import fake_run
import msgspec
import pytest
from fake_story import made_up_events
from hypothesis import given, settings
from hypothesis import strategies as st
from stories.recurrent import text_events

from darts_engine.run import events
from darts_engine.run.backwards import blocks_from_the_end
from darts_engine.run.events import AnyEvent
from darts_engine.run.folder import RunFolder
from darts_engine.run.lock import EngineRecord
from darts_engine.run.log import MAX_LINE_BYTES
from darts_engine.run.state import RunState, fold_all
from darts_tui.runs import outcome as outcomes
from darts_tui.runs.outcome import outcome

GOLDEN = sorted((Path(__file__).parents[2] / "golden").glob("*/*/events.jsonl"))
SHOWN = ("phase", "kind", "epoch", "global_step", "total_epochs", "best", "eta_s", "elapsed_s")
SHOWN += ("first_t", "last_t", "started", "result", "failure")
ENDINGS = ("running", "paused", "stopped", "failed", "finished")


@pytest.fixture(autouse=True)
def nothing_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "SMALL_BYTES", 0)


def agree(folder: RunFolder, story: list[AnyEvent]) -> None:
    whole, quick = fold_all(story), outcome(folder)
    for name in SHOWN:
        assert getattr(quick, name) == getattr(whole, name), name
    assert quick.final_genotype() == whole.final_genotype()


def begun_by(folder: RunFolder, pid: int, t: float) -> None:
    record = EngineRecord(pid=pid, host="bench", boot_id="", started=t)
    folder.engine.write_bytes(msgspec.json.encode(record))


@pytest.mark.parametrize("kind", ["search", "train"])
@pytest.mark.parametrize("phase", ENDINGS)
def test_a_run_at_any_moment_is_shown_as_the_whole_log_says(
    runs: Path, kind: str, phase: str
) -> None:
    folder = fake_run.make_run(runs, "run", kind=kind, epochs=9, epochs_done=7, phase=phase)
    story = made_up_events(kind=kind, epochs=9, epochs_done=7, phase=phase)
    begun_by(folder, 4321, story[0].t - 1)
    for length in range(1, len(story) + 1, 3):
        fake_run.write(folder, story[:length])
        agree(folder, story[:length])


@pytest.mark.parametrize("kind", ["search", "train"])
@pytest.mark.parametrize("phase", ["running", "finished"])
def test_a_run_on_text_at_any_moment_is_shown_as_the_whole_log_says(
    runs: Path, kind: str, phase: str
) -> None:
    story = text_events(kind=kind, epochs=9, epochs_done=7, phase=phase)
    folder = fake_run.make_run(runs, "run", kind=kind, epochs=9, epochs_done=7, phase=phase)
    begun_by(folder, 4321, story[0].t - 1)
    for length in range(1, len(story) + 1, 5):
        fake_run.write(folder, story[:length])
        agree(folder, story[:length])


def gone_back(story: list[AnyEvent], place: int, reason: str) -> list[AnyEvent]:
    """The story up to `place`, taken back to its newest checkpoint, and on from there."""
    lost = story[:place]
    saved = [e for e in lost if isinstance(e, events.CheckpointSaved)][-1]
    seq, t = lost[-1].seq, lost[-1].t

    def told(event: AnyEvent) -> AnyEvent:
        nonlocal seq
        seq += 1
        return msgspec.structs.replace(event, seq=seq, t=t + seq)

    again = [
        told(
            events.Rewound(
                to_seq=saved.seq - 1,
                to_step=saved.global_step,
                to_epoch=saved.epoch,
                checkpoint=saved.path,
                reason=reason,
            )
        )
    ]
    if not reason:
        started = msgspec.structs.replace(story[0], resumed_at_step=saved.global_step, epochs=12)
        again.append(told(started))
    return lost + again + [told(event) for event in story if event.seq > saved.seq]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_runs_that_went_back_are_shown_as_the_whole_log_says(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    patch = pytest.MonkeyPatch()
    patch.setattr(outcomes, "SMALL_BYTES", 0)
    patch.setattr(outcomes, "BLOCK_BYTES", 3000)
    story = made_up_events(epochs=9, epochs_done=8, steps=4, phase="stopped")
    first = next(e.seq for e in story if isinstance(e, events.CheckpointSaved))
    reasons = []
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(first, len(story)))
        reasons.append(data.draw(st.sampled_from(["", "the eigenvalue rose"])))
        story = gone_back(story, place, reasons[-1])
    story = story[: data.draw(st.integers(1, len(story)))]
    folder = fake_run.make_run(tmp_path_factory.mktemp("runs"), "run")
    fake_run.write(folder, story)
    starts = [e for e in story if isinstance(e, events.RunStarted)]
    begun_by(folder, 4321, starts[-1].t - 0.5)
    agree(folder, story)
    patch.undo()


@pytest.mark.parametrize("log", GOLDEN, ids=lambda log: log.parent.name)
def test_runs_of_earlier_versions_are_shown_as_their_whole_log_says(log: Path) -> None:
    story = [events.decode(line) for line in log.read_bytes().splitlines()]
    agree(RunFolder(log.parent), story)


def test_an_empty_or_missing_or_foreign_log_shows_nothing(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert outcome(folder) == RunState()
    for content in (b"", b"torn", b"\n" * 1000, b"\xff\0[1]\n" * 1000, b'{"type":"dream"}\n'):
        folder.events.write_bytes(content)
        assert outcome(folder) == RunState()


def test_lines_in_another_spelling_are_understood(runs: Path) -> None:
    story = made_up_events(epochs=9, epochs_done=7, phase="stopped")
    folder = fake_run.make_run(runs, "run")
    spaced = b"".join(events.encode(e).replace(b'":', b'" : ') for e in story)
    folder.events.write_bytes(spaced)
    agree(folder, [events.decode(line) for line in spaced.splitlines()])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_blocks_from_the_end_are_all_whole_lines_the_last_first(tmp_path: Path, size: int) -> None:
    path = tmp_path / "events.jsonl"
    for content in (b"", b"\n", b"\n\n\n", b"ab\ncde\n\nf\n", b"torn", b"ab\ncde\ntorn"):
        path.write_bytes(content)
        blocks = list(blocks_from_the_end(path, size))
        assert all(block.endswith(b"\n") for block in blocks)
        assert b"".join(reversed(blocks)) == content[: content.rfind(b"\n") + 1]


@pytest.mark.parametrize("ending", [b"", b"ef\ngh"])
def test_a_line_that_is_too_long_is_left_out_and_costs_no_memory(
    tmp_path: Path, ending: bytes
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"ab\n" + b"x" * (3 * MAX_LINE_BYTES) + b"\ncd\n" + ending)
    blocks = list(blocks_from_the_end(path, 1 << 16))
    whole = ending[: ending.rfind(b"\n") + 1]
    assert b"".join(reversed(blocks)) == b"ab\ncd\n" + whole
