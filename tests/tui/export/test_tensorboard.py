"""What TensorBoard reads of a run: every figure once per step, live and after the fact."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fake_run import engine_alive, make_run, write
from fake_story import made_up_events
from stories.recurrent import make_text_run

from darts_engine.run import events
from darts_engine.run.errors import RunError
from darts_engine.run.events import AnyEvent
from darts_tui.commands import tail
from darts_tui.export import event_file
from darts_tui.export.jobs import export
from darts_tui.export.tensorboard import LiveFile, Scalars


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values by tag, as TensorBoard itself reads a folder."""
    accumulator: Any = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="the package tensorboard is not here",
        exc_type=ImportError,
    )
    found = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {
        tag: [(one.step, one.value) for one in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def of(story: list[AnyEvent], kind: type, name: str) -> list[tuple[int, float]]:
    """What a story says of a figure, as float32 holds it."""
    return [
        (event.global_step, pytest.approx(getattr(event, name), rel=1e-6))
        for event in story
        if isinstance(event, kind) and getattr(event, name) is not None
    ]


def rewound(story: list[AnyEvent]) -> list[AnyEvent]:
    """The same story, killed after its end and gone back to its checkpoint of epoch 2."""
    known = next(e for e in story if isinstance(e, events.CheckpointSaved) and e.epoch == 2)
    step = known.global_step
    again = events.Rewound(
        seq=len(story) + 1,
        t=story[-1].t,
        to_seq=known.seq,
        to_step=step,
        to_epoch=2,
        checkpoint="c",
    )
    redone = [
        msgspec.structs.replace(event, seq=again.seq + place)
        for place, event in enumerate(story[known.seq :], 1)
    ]
    return [*story, again, *redone[: len(redone) // 2]]


def test_the_checksum_is_that_of_the_standard() -> None:
    # RFC 3720, appendix B.4, and the usual check value.
    assert event_file.crc32c(bytes(32)) == 0x8A9136AA
    assert event_file.crc32c(b"\xff" * 32) == 0x62A8AB43
    assert event_file.crc32c(bytes(range(32))) == 0x46DD794E
    assert event_file.crc32c(b"123456789") == 0xE3069283


def test_a_record_is_written_byte_for_byte() -> None:
    made = event_file.scalars(0.0, 300, {"a": 1.0})
    content = (
        b"\x09" + bytes(8) + b"\x10\xac\x02" + b"\x2a\x0a\x0a\x08\x0a\x01a\x15\x00\x00\x80\x3f"
    )
    assert made[:8] == len(content).to_bytes(8, "little")
    assert made[12:-4] == content
    assert b"\x00\x00\x80\x7f" in event_file.scalars(0.0, 1, {"a": 1e300})


def test_a_search_is_read_back_with_every_figure(runs: Path) -> None:
    run = make_run(runs, "digits", epochs_done=4, epochs=6, steps=6)
    report = export(run, what=["tensorboard"])
    assert [file.parent for file in report.files] == [run.exports / "tensorboard" / "digits"]
    story = made_up_events(epochs_done=4, epochs=6, steps=6)
    read_back = read(report.files[0].parent)
    for tag, kind, name in (
        ("step/train_loss", events.StepFinished, "train_loss"),
        ("step/alpha_loss", events.StepFinished, "alpha_loss"),
        ("epoch/valid_top1", events.EpochFinished, "valid_top1"),
        ("epoch/train_loss", events.EpochFinished, "train_loss"),
        ("epoch/images_per_s", events.EpochFinished, "images_per_s"),
        ("health/alpha_grad_norm", events.HealthMeasured, "alpha_grad_norm"),
        ("health/weight_grad_norm", events.HealthMeasured, "weight_grad_norm"),
    ):
        assert read_back[tag] == of(story, kind, name), tag
    assert len(read_back["entropy/normal"]) == len(read_back["entropy/reduce"]) == 4
    assert [step for step, _ in read_back["schedule/lr_weights"]] == [1, 7, 13, 19, 25]
    # Once more gives the same file, not a second one.
    assert export(run, what=["tensorboard"]).files == report.files
    assert read(report.files[0].parent) == read_back


def test_a_training_on_text_has_perplexities_and_no_accuracies(runs: Path) -> None:
    run = make_text_run(runs, "verses", kind="train", epochs_done=3, epochs=6)
    read_back = read(export(run, what=["tensorboard"]).files[0].parent)
    assert len(read_back["epoch/valid_perplexity"]) == len(read_back["epoch/train_perplexity"]) == 3
    assert "epoch/tokens_per_s" in read_back
    assert "schedule/averaging" in read_back
    assert not any("top1" in tag for tag in read_back)


def test_work_that_was_done_again_has_no_doubled_step(runs: Path) -> None:
    story = rewound(made_up_events(epochs_done=5, epochs=8, steps=4))
    run = make_run(runs, "digits")
    write(run, story)
    file = export(run, what=["tensorboard"]).files[0]
    read_back = read(file.parent)
    assert all(is_rising(values) for values in read_back.values())
    assert [step for step, _ in read_back["epoch/valid_loss"]][:3] == [4, 8, 12]
    # It is left out of the file, for readers that know nothing of restarts.
    assert file.read_bytes().count(b"step/train_loss") == len(read_back["step/train_loss"])


def test_a_rewind_while_it_is_written_takes_back_what_was(runs: Path, tmp_path: Path) -> None:
    story = rewound(made_up_events(epochs_done=5, epochs=8, steps=4))
    run = make_run(runs, "digits")
    write(run, story)
    with LiveFile(tmp_path, [], 1.0) as file:
        for event in story:
            file.take(event)
    live, whole = read(tmp_path), read(export(run, what=["tensorboard"]).files[0].parent)
    assert all(is_rising(values) for values in live.values())
    assert live.keys() == whole.keys()
    assert live["step/train_loss"] == whole["step/train_loss"]
    assert live["epoch/valid_top1"] == whole["epoch/valid_top1"]


def is_rising(values: list[tuple[int, float]]) -> bool:
    steps = [step for step, _ in values]
    return steps == sorted(set(steps))


def test_following_again_replaces_what_was_written(runs: Path, tmp_path: Path, darts: Any) -> None:
    make_run(runs, "digits", phase="finished", epochs=3, steps=4)
    for _ in range(2):
        result = darts("tail", "digits", "--follow", "--to", "tensorboard", tmp_path / "tb")
        assert result.code == 0, result.err
        assert result.out == ""
    assert len(list((tmp_path / "tb" / "digits").iterdir())) == 1
    assert len(read(tmp_path / "tb" / "digits")["epoch/valid_loss"]) == 3


def test_a_live_run_is_read_while_it_is_written(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = made_up_events(epochs_done=4, epochs=8, steps=4)
    run = make_run(runs, "digits")
    ends = [e.seq for e in story if isinstance(e, events.EpochFinished)]
    write(run, story[: ends[1]])
    seen: list[int] = []

    def wait(_: float) -> None:
        """The engine writes more while nothing new is read."""
        seen.append(len(read(tmp_path / "digits")["epoch/valid_loss"]))
        if len(seen) == 1:
            with run.events.open("ab") as log:
                log.writelines(events.encode(event) for event in story[ends[1] : ends[2]])
        else:
            engine.close()

    monkeypatch.setattr("darts_tui.printing.progress.time.sleep", wait)
    with contextlib.ExitStack() as engine:
        engine.enter_context(engine_alive(run))
        assert tail.write_log(run, "tensorboard", tmp_path, follow=True) == 0
    assert seen == [2, 3]


def test_another_run_of_the_same_name_begins_anew() -> None:
    def story() -> Iterator[AnyEvent]:
        for event in made_up_events(epochs_done=2, epochs=4, steps=4):
            is_start = isinstance(event, events.RunStarted)
            yield msgspec.structs.replace(event, run="second") if is_start else event

    scalars = Scalars()
    first = [
        msgspec.structs.replace(event, run="first")
        if isinstance(event, events.RunStarted)
        else event
        for event in made_up_events(epochs_done=2, epochs=4, steps=4)
    ]
    once = b"".join(map(scalars.records, first))
    again = b"".join(map(scalars.records, story()))
    started = next(event for event in first if isinstance(event, events.RunStarted))
    assert again == event_file.restart(started.t, 0) + once


def test_what_cannot_be_is_refused(runs: Path, tmp_path: Path, darts: Any) -> None:
    make_run(runs, "digits", phase="finished", epochs=3, steps=4)
    refused = darts("tail", "digits", "--to", "aim", tmp_path)
    assert refused.code == 2
    assert refused.error_lines[0] == "there is no 'aim' to write to"
    assert darts("tail", "digits", "--json", "--to", "tensorboard", tmp_path).code == 2
    assert darts("tail", "digits", "--from", 7, "--to", "tensorboard", tmp_path).code == 2
    (tmp_path / "file").write_text("")
    assert darts("tail", "digits", "--to", "tensorboard", tmp_path / "file").code == 1
    refused = darts("export", "DARTS_V2", "--what", "tensorboard")
    assert refused.error_lines[0] == "a genotype has cells only"
    with pytest.raises(RunError, match="cannot be written"), LiveFile(tmp_path / "no", [], 1.0):
        pass
