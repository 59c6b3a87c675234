"""Files of a run folder: no link is followed, nothing is waited for, nothing is overwritten."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty.odd_files import make_socket

from darts_engine.run import private_files
from darts_engine.run.errors import ExitCode, UnsafeFileError
from darts_engine.run.private_files import PrivateFolder

LIMIT = 1000


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file that nothing may read or change."""
    path = tmp_path / "outside"
    path.write_bytes(b"canary")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> PrivateFolder:
    """An empty folder, opened."""
    (tmp_path / "inside").mkdir()
    return PrivateFolder.open(tmp_path / "inside")


def link(path: Path, outside: Path) -> str:
    path.symlink_to(outside)
    return "symbolic link"


def pipe(path: Path, _: Path) -> str:
    os.mkfifo(path)
    return "pipe"


def listening(path: Path, _: Path) -> str:
    make_socket(path)
    return "socket"


def directory(path: Path, _: Path) -> str:
    path.mkdir()
    return "folder"


BAD = (link, pipe, listening, directory)
WAYS: tuple[Callable[[PrivateFolder], object], ...] = (
    lambda folder: folder.open_to_read("file"),
    lambda folder: folder.open_to_append("file"),
    lambda folder: folder.open_to_repair("file"),
    lambda folder: folder.open_lock("file"),
    lambda folder: folder.read("file", LIMIT),
    lambda folder: folder.tail("file", LIMIT),
    lambda folder: folder.touch("file"),
    lambda folder: private_files.open_to_append(folder.path / "file"),
    lambda folder: private_files.read_private(folder.path / "file", LIMIT),
)


@pytest.mark.parametrize("make", BAD)
@pytest.mark.parametrize("way", WAYS)
def test_what_is_no_plain_file_is_refused_at_once(
    folder: PrivateFolder,
    outside: Path,
    make: Callable[[Path, Path], str],
    way: Callable[[PrivateFolder], object],
) -> None:
    path = folder.path / "file"
    kind = make(path, outside)
    before = outside.stat()
    with pytest.raises(UnsafeFileError, match=kind) as refused:
        way(folder)
    assert refused.value.exit_code == ExitCode.REFUSED
    assert refused.value.where == str(path)
    assert refused.value.remedy
    assert outside.read_bytes() == b"canary"
    assert outside.stat().st_mtime == before.st_mtime


def test_a_missing_file_is_told_from_a_bad_one(folder: PrivateFolder) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        folder.read("file", LIMIT)
    assert missing.value.filename == str(folder.path / "file")


def test_a_link_into_nothing_makes_no_file(folder: PrivateFolder, tmp_path: Path) -> None:
    (folder.path / "file").symlink_to(tmp_path / "new")
    with pytest.raises(UnsafeFileError, match="link"):
        folder.open_to_append("file")
    assert not (tmp_path / "new").exists()


def test_replacing_a_link_leaves_its_target(folder: PrivateFolder, outside: Path) -> None:
    (folder.path / "file").symlink_to(outside)
    folder.replace("file", b"new")
    assert outside.read_bytes() == b"canary"
    assert folder.read("file", LIMIT) == b"new"
    assert (folder.path / "file").stat().st_mode & 0o777 == 0o600


def test_a_temporary_name_is_never_one_that_exists(
    folder: PrivateFolder, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _: "ab")
    (folder.path / "file.tmp.ab").symlink_to(outside)
    with pytest.raises(FileExistsError):
        folder.replace("file", b"new")
    assert outside.read_bytes() == b"canary"
    # It is not ours, so it is not swept up either.
    assert folder.names() == ["file.tmp.ab"]


def test_a_file_that_is_too_large_is_not_read(folder: PrivateFolder) -> None:
    with (folder.path / "file").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UnsafeFileError, match="1,099,511,627,776 bytes, and may have 1,000"):
        folder.read("file", LIMIT)
    assert folder.tail("file", 3) == b"\0\0\0"


def test_the_folder_itself_is_no_link_and_no_file(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    for path, kind in ((tmp_path / "link", "symbolic link"), (outside, "not a folder")):
        with pytest.raises(UnsafeFileError, match=kind):
            PrivateFolder.open(path)


def test_folders_inside_are_no_links(folder: PrivateFolder, tmp_path: Path) -> None:
    (folder.path / "in").symlink_to(tmp_path)
    for make in (False, True):
        with pytest.raises(UnsafeFileError, match="symbolic link"):
            folder.inner("in", make=make)
    with folder.inner("made", make=True) as made:
        assert made.path.stat().st_mode & 0o777 == 0o700
        made.replace("file", b"deep")
        made.delete("file")
        made.delete("file")
        assert made.names() == []


@pytest.mark.parametrize("name", ["", ".", "..", "../outside", "/etc/hosts"])
def test_a_name_is_no_path(folder: PrivateFolder, name: str) -> None:
    with pytest.raises(UnsafeFileError, match="no name of a file"):
        folder.read(name, LIMIT)


def test_a_file_of_another_user_is_refused(
    folder: PrivateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.replace("file", b"mine")
    mine = os.getuid()
    monkeypatch.setattr("os.getuid", lambda: mine + 1)
    with pytest.raises(UnsafeFileError, match="another user"):
        folder.read("file", LIMIT)
    with pytest.raises(UnsafeFileError, match="another user"):
        PrivateFolder.open(folder.path)


def test_a_folder_that_was_replaced_is_told_from_the_old_one(folder: PrivateFolder) -> None:
    assert folder.is_at(folder.path)
    folder.path.rename(folder.path.with_name("moved"))
    assert not folder.is_at(folder.path)
    folder.path.mkdir()
    assert not folder.is_at(folder.path)
    assert folder.is_at(folder.path.with_name("moved"))


@pytest.mark.parametrize("way", ["open_to_append", "open_to_repair", "open_lock"])
def test_a_file_that_has_a_second_name_is_read_and_not_written_into(
    folder: PrivateFolder, outside: Path, way: str
) -> None:
    # As `cp -al` makes it of a run, or an archive of a run and of another file of its user.
    os.link(outside, folder.path / "file")
    with pytest.raises(UnsafeFileError, match="2 names") as refused:
        getattr(folder, way)("file")
    assert refused.value.where == str(folder.path / "file")
    assert folder.read("file", LIMIT) == b"canary"
    folder.replace("file", b"new")
    assert outside.read_bytes() == b"canary"
    os.close(getattr(folder, way)("file"))


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o277, 0o777])
def test_files_are_their_owners_whatever_the_umask(folder: PrivateFolder, umask: int) -> None:
    before = os.umask(umask)
    try:
        folder.replace("replaced", b"new")
        os.close(folder.open_to_append("appended"))
        os.close(folder.open_lock("lock"))
    finally:
        os.umask(before)
    for name in ("replaced", "appended", "lock"):
        assert folder.stat(name).st_mode & 0o777 == 0o600
