"""A new run is there whole or not at all, whenever its maker is killed."""

import errno
import os
import threading
from pathlib import Path

import pytest

from darts_engine.run import new_folder
from darts_engine.run.errors import NotFoundError, RunError
from darts_engine.run.folder import create, find, list_runs
from darts_engine.run.private_files import PrivateFolder
from darts_engine.run.settings.config import SearchConfig

CONFIG = SearchConfig()
# Every call that changes the disk while a run is made, and that a kill may come after.
CALLS = ("mkdir", "open", "write", "fsync", "replace", "rename")


class KilledError(BaseException):
    """Stands for a kill: nothing may tidy up after it."""


def kill_after(monkeypatch: pytest.MonkeyPatch, number: int) -> list[str]:
    """Make the process end after that many calls. Returns: the calls, as they are made."""
    made: list[str] = []

    def counting(name: str) -> None:
        real = getattr(os, name)

        def call(*args: object, **options: object) -> object:
            if len(made) >= number:
                raise KilledError
            made.append(name)
            return real(*args, **options)

        monkeypatch.setattr(os, name, call)

    for name in CALLS:
        counting(name)
    for name in ("unlink", "rmdir"):
        # What is dead tidies nothing up.
        monkeypatch.setattr(os, name, lambda *_, **__: (_ for _ in ()).throw(KilledError))
    return made


def test_a_kill_anywhere_leaves_a_whole_run_or_a_free_name(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = total = 0
    while True:
        place = runs / str(total)
        place.mkdir()
        with monkeypatch.context() as patch:
            made = kill_after(patch, total)
            try:
                create(place, "a", CONFIG)
            except KilledError:
                calls = len(made)
            else:
                break
        total += 1
        if list_runs(place):
            assert find(place, "a").read_config() == CONFIG
        elif (place / "a").exists():
            # Killed in the moment between two calls: the name is taken, and nobody says resumable.
            assert not list((place / "a").iterdir())
            with pytest.raises(RunError, match="is no run"):
                create(place, "a", CONFIG)
        else:
            assert create(place, "a", CONFIG).read_config() == CONFIG
    assert calls > 10


def test_what_a_kill_has_left_is_cleared_away_when_it_is_old(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        kill_after(patch, 10)
        with pytest.raises(KilledError):
            create(runs, "a", CONFIG)
    (left,) = runs.iterdir()
    assert left.name.startswith(".a.new.")
    create(runs, "a", CONFIG)
    assert left.exists(), "another process may be making it"
    os.utime(left, (1, 1))
    create(runs, "b", CONFIG)
    assert sorted(path.name for path in runs.iterdir()) == ["a", "b"]


def test_what_is_not_ours_is_not_cleared_away(runs: Path, tmp_path: Path) -> None:
    name = ".a.new.0123456789abcdef"
    kept = runs / name
    (kept / "checkpoints").mkdir(parents=True)
    (kept / "thesis.tex").write_text("precious")
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "config.toml").write_text("precious")
    (runs / name.replace("a", "b", 1)).symlink_to(precious)
    for path in runs.iterdir():
        os.utime(path, (1, 1), follow_symlinks=False)
    create(runs, "new", CONFIG)
    assert (kept / "thesis.tex").read_text() == "precious"
    assert (precious / "config.toml").read_text() == "precious"


def test_a_full_disk_leaves_no_name(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PrivateFolder, "replace", full)
    with pytest.raises(RunError, match="cannot be made: No space left"):
        create(runs, "a", CONFIG)
    assert list(runs.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_no_run_keeps_its_name_and_is_not_called_resumable(runs: Path, kind: str) -> None:
    path = runs / "a"
    match kind:
        case "folder":
            path.mkdir()
        case "file":
            path.write_text("")
        case "link":
            path.symlink_to(runs / "nothing")
    before = path.lstat().st_ino
    with pytest.raises(RunError, match="no run") as refusal:
        create(runs, "a", CONFIG)
    assert "resume" not in str(refusal.value)
    assert path.lstat().st_ino == before
    with pytest.raises(NotFoundError):
        find(runs, "a")


def test_one_of_many_gets_the_name(runs: Path) -> None:
    won: list[str] = []
    lost: list[str] = []
    ready = threading.Barrier(8)

    def make() -> None:
        ready.wait()
        try:
            won.append(create(runs, "a", CONFIG).name)
        except RunError as error:
            lost.append(error.what)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (won, len(lost)) == (["a"], 7)
    assert [path.name for path in runs.iterdir()] == ["a"]
    assert find(runs, "a").read_config() == CONFIG


def test_where_no_folder_replaces_another_the_run_is_made_all_the_same(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def weak(path: Path, target: Path) -> Path:
        if target.exists():
            raise OSError(errno.EEXIST, "File exists")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", weak)
    assert create(runs, "a", CONFIG).read_config() == CONFIG
    assert [path.name for path in runs.iterdir()] == ["a"]


def test_folders_that_are_there_are_left_as_they_are(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "link").symlink_to(tmp_path)
    new_folder.make_private(tmp_path / "link")
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        new_folder.make_private(tmp_path / "file")


@pytest.mark.parametrize("kind", ["file", "loop"])
def test_a_place_that_is_no_folder_is_told_from_a_name_that_is_taken(runs: Path, kind: str) -> None:
    place = runs / "place"
    place.write_text("") if kind == "file" else place.symlink_to(place)
    with pytest.raises(RunError, match="cannot be made: Not a directory") as refused:
        create(place, "a", CONFIG)
    assert refused.value.where == str(place)
