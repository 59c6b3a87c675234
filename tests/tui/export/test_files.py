import errno
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from darts_engine.run.errors import RunError, SpaceError
from darts_tui.export.files import safe_stem, write_whole


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("digits-2", "digits-2"),
        ("../up", "up"),
        (".hidden", "hidden"),
        ("a/b\\c:d", "a-b-c-d"),
        ("-rf", "rf"),
        ("\x00\x1b[2J", "2J"),
        ("ключ", "genotype"),
        ("", "genotype"),
        ("x" * 300, "x" * 64),
    ],
)
def test_a_stem_is_a_plain_file_name(name: str, stem: str) -> None:
    assert safe_stem(name) == stem


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, SpaceError), (errno.EIO, RunError)])
def test_a_failed_write_leaves_the_old_file_and_no_scraps(
    tmp_path: Path, number: int, kind: type[RunError]
) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def half() -> Iterator[bytes]:
        yield b"new"
        raise OSError(number, "broken")

    with pytest.raises(kind, match="broken") as caught:
        write_whole(path, half())
    assert type(caught.value) is kind
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]


# Killed in the middle of one of the calls that write a file.
KILLED = """
import os, pathlib, signal, sys
from darts_tui.export import files
def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)
def chunks():
    yield b"ne"
    if sys.argv[2] == "chunk":
        killed()
    yield b"w"
if sys.argv[2] == "fsync":
    os.fsync = killed
elif sys.argv[2] == "replace":
    pathlib.Path.replace = killed
elif sys.argv[2] == "folder":
    files.sync_folder = killed
files.write_whole(pathlib.Path(sys.argv[1]), chunks())
"""


@pytest.mark.parametrize(
    ("moment", "content"),
    [("chunk", "old"), ("fsync", "old"), ("replace", "old"), ("folder", "new")],
)
def test_a_file_is_the_old_one_or_the_new_one_whenever_the_export_is_killed(
    tmp_path: Path, moment: str, content: str
) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path), moment], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_text() == content
    assert [entry.name for entry in tmp_path.iterdir() if entry.name[0] != "."] == ["table.csv"]
