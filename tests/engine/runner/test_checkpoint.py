"""Checkpoints: whole or not there, refused when damaged, forged or foreign, and kept by rule."""

import io
import os
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

torch = pytest.importorskip("torch")

from engine_kit import fingerprint  # noqa: E402

from darts_engine.run.errors import (  # noqa: E402
    CheckpointError,
    NotFiniteError,
    SpaceError,
    TooLargeError,
    UnsafeFileError,
)
from darts_engine.run.folder import RunFolder  # noqa: E402
from darts_engine.runner import checkpoint  # noqa: E402
from darts_engine.runner.position import Position  # noqa: E402

IDENTITY = {"method": "darts", "space": "darts C=4"}


def state(value: float) -> dict[str, Any]:
    return {"weights": {"w": torch.full((40,), value)}, "best": [value, 1], "none": None}


def save(run: RunFolder, step: int, *, seq: int = 0, reason: str = "epoch") -> Path:
    position = Position(epoch=1, step=step, global_step=step, is_epoch_done=False)
    saved = checkpoint.save(
        run,
        state(float(step)),
        position,
        reason=reason,
        seq=seq or step,
        origin=checkpoint.Origin(IDENTITY),
    )
    return saved.path


def load(run: RunFolder, path: Path) -> dict[str, Any]:
    return checkpoint.load(run, checkpoint.read_manifest(path.with_suffix(".json")))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    run = RunFolder(tmp_path / "run")
    run.checkpoints.mkdir(parents=True)
    return run


def test_what_is_loaded_is_what_was_saved(run: RunFolder) -> None:
    path = save(run, 5)
    assert fingerprint(load(run, path)) == fingerprint(state(5.0))
    assert {p.stat().st_mode & 0o777 for p in run.checkpoints.iterdir()} == {0o600}


@pytest.mark.parametrize("suffix", [".pt", ".json"])
def test_a_checkpoint_cut_at_any_offset_is_refused(run: RunFolder, suffix: str) -> None:
    path = save(run, 5)
    target = path.with_suffix(suffix)
    whole = target.read_bytes()
    for end in range(0, len(whole), max(1, len(whole) // 200)):
        target.write_bytes(whole[:end])
        with pytest.raises(CheckpointError):
            load(run, path)


@pytest.mark.parametrize("suffix", [".pt", ".json"])
def test_a_flipped_bit_anywhere_is_refused(run: RunFolder, suffix: str) -> None:
    path = save(run, 5)
    target = path.with_suffix(suffix)
    whole = target.read_bytes()
    draws = random.Random(1)
    for _ in range(1000):
        bit = draws.randrange(8 * len(whole))
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        target.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            load(run, path)


def forge(run: RunFolder, content: bytes) -> Path:
    """A checkpoint whose digest is right, as its forger would make it."""
    path = save(run, 5)
    manifest = checkpoint.read_manifest(path.with_suffix(".json"))
    path.write_bytes(content)
    forged = msgspec.structs.replace(manifest, size_bytes=len(content))
    forged = msgspec.structs.replace(forged, sha256=forged.digest(content))
    path.with_suffix(".json").write_bytes(msgspec.json.encode(forged))
    return path


class Bomb:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.system, (f"touch {self.canary}",)


def torch_saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def huge_shape() -> bytes:
    """A tensor that claims 10^12 numbers in the file of a small one."""
    small = torch.zeros(4)
    huge = torch.as_strided(small, (1000, 1000, 1000, 1000), (0, 0, 0, 0))
    content = io.BytesIO()
    saved = io.BytesIO(torch_saved({"w": huge}))
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(content, "w") as new:
        for name in old.namelist():
            inside = old.read(name)
            new.writestr(name, inside[:8] if "/data/" in name else inside)
    return content.getvalue()


@pytest.mark.parametrize(
    "make",
    [
        lambda canary: pickle.dumps(Bomb(canary)),
        lambda canary: torch_saved(Bomb(canary)),
        lambda canary: torch_saved({"w": torch.zeros(2), "deep": [({"x": Bomb(canary)},)]}),
        lambda canary: torch_saved([torch.zeros(2)]),
        lambda canary: huge_shape(),
        lambda canary: b"",
        lambda canary: b"PK\x03\x04" + b"\x00" * 100,
        lambda canary: b"\x80\x02" + b"(" * 100_000,
    ],
    ids=["pickle", "in zip", "nested", "no dict", "huge shape", "empty", "half zip", "deep"],
)
def test_a_forged_checkpoint_is_refused_and_runs_nothing(
    run: RunFolder, tmp_path: Path, make: Callable[[Path], bytes]
) -> None:
    canary = tmp_path / "canary"
    path = forge(run, make(canary))
    with pytest.raises(CheckpointError) as refusal:
        load(run, path)
    assert len(str(refusal.value).splitlines()) <= 3
    assert not canary.exists()


@pytest.mark.parametrize("suffix", [".pt", ".json"])
def test_a_symbolic_link_is_no_checkpoint(run: RunFolder, tmp_path: Path, suffix: str) -> None:
    path = save(run, 5)
    target = path.with_suffix(suffix)
    elsewhere = tmp_path / "elsewhere"
    target.rename(elsewhere)
    target.symlink_to(elsewhere)
    with pytest.raises(CheckpointError, match="is a symbolic link"):
        load(run, path)


def test_a_foreign_checkpoint_is_refused_naming_both(run: RunFolder) -> None:
    manifest = checkpoint.read_manifest(save(run, 5).with_suffix(".json"))
    for mine in ({"method": "pc-darts"}, {"space": "darts C=8"}, {"network": "cifar"}):
        with pytest.raises(CheckpointError) as refusal:
            checkpoint.refuse_foreign(run, manifest, IDENTITY | mine)
        (key, value), *_ = mine.items()
        assert f"{key} {IDENTITY.get(key, 'nothing')}" in str(refusal.value)
        assert value in str(refusal.value)


def test_a_poisoned_state_is_not_saved(run: RunFolder) -> None:
    for poison in (float("nan"), float("inf")):
        bad = {"weights": {"w": torch.ones(3)}, "optimizer": {"state": {0: [torch.tensor(poison)]}}}
        with pytest.raises(NotFiniteError, match=r"optimizer\.state\.0\.0"):
            checkpoint.save(run, bad, Position(), reason="epoch", seq=1, origin=checkpoint.Origin())
    assert list(run.checkpoints.iterdir()) == []


class Interrupter:
    """Counts the system calls that change files, and raises at the n-th."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, error: BaseException) -> None:
        self.calls, self._at, self._error = 0, at, error
        for name in ("open", "write", "fsync", "close", "replace", "unlink"):
            monkeypatch.setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls == self._at:
                raise self._error
            return call(*arguments, **named)

        return counted


@pytest.mark.parametrize("error", [OSError(28, "no room"), OSError(5, "I/O"), KeyboardInterrupt()])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_save_cut_short_at_any_system_call_leaves_the_old_or_the_new_state(
    run: RunFolder, error: BaseException
) -> None:
    old, at, reached = save(run, 1), 0, True
    while reached:
        at += 1
        with pytest.MonkeyPatch.context() as monkeypatch:
            interrupter = Interrupter(monkeypatch, at, error)
            try:
                new = save(run, 2)
            except (OSError, SpaceError, KeyboardInterrupt):
                new = None
            reached = interrupter.calls >= at
        checkpoint.sweep(run)
        left = [load(run, path) for path in checkpoint.newest_first(run)]
        assert [s["best"][0] for s in left] in ([1.0], [2.0, 1.0]), f"call {at}"
        assert len(list(run.checkpoints.iterdir())) == 2 * len(left), f"call {at}"
        if new is None and len(left) == 1:
            assert load(run, old)
        for path in run.checkpoints.glob("step-000000002*"):
            path.unlink()
    assert at > 10


def test_a_short_write_is_finished(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data[:7])))
    path = save(run, 5)
    monkeypatch.undo()
    assert fingerprint(load(run, path)) == fingerprint(state(5.0))


def test_the_newest_the_asked_for_and_the_last_best_are_kept(run: RunFolder) -> None:
    reasons = ["command", "best", "epoch", "time", "best", "stop", "epoch", "command", "epoch"]
    for step, reason in enumerate(reasons, 1):
        save(run, step, reason=reason)
        checkpoint.prune(run, keep=2)
    left = {checkpoint.read_manifest(p).position.global_step for p in checkpoint.newest_first(run)}
    assert left == {1, 5, 7, 8, 9}
    assert len(list(run.checkpoints.iterdir())) == 2 * len(left)


def test_a_run_whose_every_epoch_is_the_best_has_something_to_fall_back_on(run: RunFolder) -> None:
    for step in range(1, 6):
        save(run, step, reason="best")
        checkpoint.prune(run, keep=2)
    left = [checkpoint.read_manifest(p).position.global_step for p in checkpoint.newest_first(run)]
    assert left == [5, 4]


def test_newest_means_latest_in_the_story_not_farthest(run: RunFolder) -> None:
    """After a fall-back the run saves at smaller steps; these must not be pruned at once."""
    for step, seq in [(90, 1000), (100, 1100), (60, 1200), (65, 1250)]:
        save(run, step, seq=seq)
        checkpoint.prune(run, keep=2)
    steps = [checkpoint.read_manifest(p).position.global_step for p in checkpoint.newest_first(run)]
    assert steps == [65, 60]


def test_a_sweep_removes_halves_and_orphans_only(run: RunFolder) -> None:
    path = save(run, 5)
    orphan = path.with_name("step-000000009-seq-9.pt")
    halves = [run.path / "engine.json.tmp.7", run.checkpoints / "step-1.pt.tmp.7", orphan]
    mine = run.checkpoints / "notes.txt"
    for file in [*halves, mine]:
        file.write_bytes(b"x")
    checkpoint.sweep(run)
    assert not any(file.exists() for file in halves)
    assert sorted(run.checkpoints.iterdir()) == sorted([path, path.with_suffix(".json"), mine])


def test_a_folder_of_checkpoints_that_is_a_link_is_refused_and_nothing_pruned(
    run: RunFolder, tmp_path: Path
) -> None:
    for step in range(1, 6):
        save(run, step)
    other = RunFolder(tmp_path / "other")
    other.path.mkdir()
    other.checkpoints.symlink_to(run.checkpoints)
    before = sorted(run.checkpoints.iterdir())
    for touch in (
        lambda: checkpoint.prune(other, 1),
        lambda: checkpoint.sweep(other),
        lambda: checkpoint.newest_first(other),
        lambda: save(other, 9),
    ):
        with pytest.raises(UnsafeFileError, match="symbolic link"):
            touch()
    with pytest.raises(CheckpointError, match="symbolic link"):
        load(other, other.checkpoints / before[0].name)
    assert sorted(run.checkpoints.iterdir()) == before


@pytest.mark.parametrize("suffix", [".pt", ".json"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "giant"])
def test_what_is_no_plain_file_of_its_size_is_no_checkpoint(
    run: RunFolder, kind: str, suffix: str
) -> None:
    path = save(run, 5)
    target = path.with_suffix(suffix)
    target.unlink()
    match kind:
        case "pipe":
            os.mkfifo(target)
        case "folder":
            target.mkdir()
        case "giant":
            with target.open("wb") as file:
                file.truncate(1 << 40)
    with pytest.raises(CheckpointError):
        load(run, path)
    # It is not swept up as if it were ours, and the older ones stay.
    save(run, 6)
    checkpoint.prune(run, 1)
    checkpoint.sweep(run)
    assert len(checkpoint.newest_first(run)) == (2 if suffix == ".json" else 1)


def test_a_checkpoint_that_does_not_fit_into_memory_is_not_read(run: RunFolder) -> None:
    path = save(run, 5)
    manifest = checkpoint.read_manifest(path.with_suffix(".json"))
    with path.open("wb") as file:
        file.truncate(1 << 42)
    claims = msgspec.structs.replace(manifest, size_bytes=1 << 42)
    with pytest.raises(TooLargeError, match="of memory") as refusal:
        checkpoint.load(run, claims)
    assert "resume" in refusal.value.remedy


def test_a_checkpoint_that_inflates_is_refused(run: RunFolder) -> None:
    content = io.BytesIO()
    saved = io.BytesIO(torch_saved({"w": torch.zeros(1_000_000)}))
    with (
        zipfile.ZipFile(saved) as old,
        zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert len(content.getvalue()) < 100_000
    path = forge(run, content.getvalue())
    with pytest.raises(CheckpointError, match="larger than its file"):
        load(run, path)
