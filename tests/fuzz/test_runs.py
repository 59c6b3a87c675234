"""A thousand damaged checkpoints and a thousand damaged logs: what is good is used, the rest named.

The suite tries some; `make fuzz` all.
"""

import json
import unicodedata
from pathlib import Path

import fake_run
import msgspec
import pytest
from effort import draws, times

torch = pytest.importorskip("torch")

from engine_kit import fingerprint  # noqa: E402
from faulty.odd_files import in_time  # noqa: E402
from tests.fuzz.damage import damaged, mutated  # noqa: E402
from tests.fuzz.harm import harmless, is_for_people  # noqa: E402

from darts_engine.run import events  # noqa: E402
from darts_engine.run.errors import CheckpointError  # noqa: E402
from darts_engine.run.folder import RunFolder  # noqa: E402
from darts_engine.run.log import EventLog, LogReader  # noqa: E402
from darts_engine.run.state import RunState, fold_all  # noqa: E402
from darts_engine.runner import checkpoint  # noqa: E402
from darts_engine.runner.position import Position  # noqa: E402
from darts_tui.cli import main  # noqa: E402
from darts_tui.console import event_text, safe_text  # noqa: E402
from darts_tui.runs.outcome import outcome  # noqa: E402
from darts_tui.runs.summary import summary  # noqa: E402

CHECKPOINTS = times(100, full=1000)
LOGS = times(20, full=1000)
pytestmark = pytest.mark.timeout(times(120, full=1800))


def _state(value: float) -> dict[str, object]:
    moments = {"exp_avg": torch.full((7,), value), "step": 3}
    return {"weights": {"w": torch.full((40,), value)}, "adam": [moments], "ending": "none"}


def _save(run: RunFolder, step: int) -> Path:
    position = Position(epoch=1, step=step, global_step=step, is_epoch_done=False)
    origin = checkpoint.Origin({"method": "darts"})
    return checkpoint.save(
        run, _state(float(step)), position, reason="epoch", seq=step, origin=origin
    ).path


def _newest_good(run: RunFolder) -> dict[str, object]:
    """What an engine loads: the newest checkpoint that can be trusted."""
    for path in checkpoint.newest_first(run):
        try:
            manifest = checkpoint.read_manifest(path)
            found = checkpoint.load(run, manifest)
            checkpoint.refuse_foreign(run, manifest, {"method": "darts"})
        except CheckpointError as error:
            is_for_people(error)
        else:
            return found
    raise AssertionError("none is good")


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    random = draws("checkpoints")
    run = RunFolder(tmp_path / "run")
    run.checkpoints.mkdir(parents=True)
    _save(run, 1)
    newest = _save(run, 2)
    whole = {path: path.read_bytes() for path in (newest, newest.with_suffix(".json"))}
    before, after = fingerprint(_state(1.0)), fingerprint(_state(2.0))
    with harmless(tmp_path):
        for _ in range(CHECKPOINTS):
            hit = random.choice([*whole])
            bad = damaged(whole[hit], random)
            hit.write_bytes(bad)
            with in_time(hit):
                found = fingerprint(_newest_good(run))
            assert found == (after if bad == whole[hit] else before)
            hit.write_bytes(whole[hit])


def test_a_manifest_of_odd_values_with_a_right_digest_never_brings_another_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    random = draws("manifests")
    run = RunFolder(tmp_path / "run")
    run.checkpoints.mkdir(parents=True)
    _save(run, 1)
    newest = _save(run, 2)
    path, content = newest.with_suffix(".json"), newest.read_bytes()
    plain = json.loads(path.read_bytes())
    states = {fingerprint(_state(value)) for value in (1.0, 2.0)}
    with harmless(tmp_path):
        for _ in range(CHECKPOINTS):
            forged = mutated(plain, random)
            try:
                manifest = msgspec.convert(forged, checkpoint.Manifest)
                signed = msgspec.structs.replace(manifest, sha256=manifest.digest(content))
                path.write_bytes(msgspec.json.encode(signed))
            except (msgspec.MsgspecError, UnicodeEncodeError, OverflowError):
                path.write_bytes(json.dumps(forged).encode())
            with in_time(forged):
                assert fingerprint(_newest_good(run)) in states


def _shown(run: RunFolder) -> None:
    """Read the run in all the ways that watchers do; nothing of it is a control character."""
    history = LogReader(run.events).read(1 << 30)
    for event in history:
        note = event_text.note(event)
        shown = safe_text.clean(note.text) if note is not None else ""
        assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cs"}, shown
    for state in (fold_all(history), summary(run), outcome(run)):
        assert isinstance(state, RunState)


def test_a_damaged_log_is_read_as_far_as_it_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DARTS_TUI_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    random = draws("logs")
    for kind in ("search", "train"):
        fake_run.make_run(
            tmp_path / "runs", kind, kind=kind, epochs_done=3, epochs=4, steps=3, phase="stopped"
        )
    commands = (["runs"], ["tail", "search"], ["show", "run:search"], ["tail", "train", "--json"])
    for command in commands:
        assert main.run(command) in (0, 1)
    kinds = ("search", "train")
    stories = {k: RunFolder(tmp_path / "runs" / k).events.read_bytes() for k in kinds}
    with harmless(tmp_path):
        for number in range(LOGS):
            for kind, whole in stories.items():
                run = RunFolder(tmp_path / "runs" / kind)
                if number % 2:
                    lines = whole.splitlines(keepends=True)
                    at = random.randrange(len(lines))
                    odd = mutated(json.loads(lines[at]), random)
                    lines[at] = json.dumps(odd).encode() + b"\n"
                    run.events.write_bytes(b"".join(lines))
                else:
                    run.events.write_bytes(damaged(whole, random))
                with in_time(run.events):
                    _shown(run)
                    again = EventLog(run.events, run.torn_events)
                    assert again.append(events.LogWritten(level="info", message="went on"))
                    again.close()
                    assert LogReader(run.events).read(1 << 30)[-1].seq == again.last_seq
            command = random.choice(commands)
            with in_time(command):
                assert main.run(command) in (0, 1, 4, 5)
            out, err = capsys.readouterr()
            assert "Traceback" not in out + err
            assert not set(out + err) & {"\x1b", "\x9b", "\x07", "\0"}, command
