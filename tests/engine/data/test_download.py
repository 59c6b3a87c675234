"""Downloads: mirrors, cuts, wrong sums, resuming, and what is said when nothing helps."""

import errno
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from data_kit import published_as

from darts_engine.data.dataset import Request
from darts_engine.data.files import download, published
from darts_engine.data.files.published import File
from darts_engine.data.watch import Unwatched
from darts_engine.run.errors import DataError, SpaceError
from darts_engine.run.settings.config import DataSection

CONTENT = bytes(range(256)) * 4000
NAME = "cifar-10-binary.tar.gz"


class Watch(Unwatched):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.seen: list[int] = []

    def note(self, message: str, level: str = "info") -> None:
        self.notes += [] if "downloading" in message else [message]

    def fetched(self, file: str, done_bytes: int, total_bytes: int) -> None:
        self.seen.append(done_bytes)


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT under any path; the first part of the path says how badly."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    def url(self, behaviour: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{behaviour}/{NAME}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        behaviour = self.path.split("/")[1]
        wanted = self.headers.get("Range", "")
        self.server.asked.append((behaviour, wanted))
        start = int(wanted[6:-1]) if wanted else 0
        if behaviour == "missing":
            return self.send_error(404)
        if behaviour == "elsewhere":
            self.send_response(302)
            self.send_header("Location", "ftp://127.0.0.1/file")
            self.end_headers()
            return None
        content = b"x" * len(CONTENT) if behaviour == "wrong" else CONTENT
        body = content[start:]
        if wanted and behaviour != "whole":
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            body = content
            self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if behaviour == "cut":
            body = body[:300_000]
        if behaviour == "cut-dead" and len(self.server.asked) > 1:
            body = b""
        elif behaviour == "cut-dead":
            body = body[:1000]
        self.wfile.write(body)
        return None


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PATIENCE_S", (0.0, 0.0, 0.0))


@pytest.fixture
def fetch(server: Server, tmp_path: Path) -> Callable[..., Watch]:
    def fetch(*behaviours: str) -> Watch:
        watch = Watch()
        *mirrors, official = [server.url(behaviour) for behaviour in behaviours]
        file = wanted(tuple(mirrors), official)
        got, path = download.fetch([file], tmp_path, watch)
        assert (got, path) == (file, tmp_path / NAME)
        assert path.read_bytes() == CONTENT
        assert not (tmp_path / f"{NAME}.part").exists()
        return watch

    return fetch


def wanted(mirrors: tuple[str, ...], official: str) -> File:
    return published_as(published.CIFAR10_BINARY, CONTENT, mirrors=mirrors, official=official)


def test_a_file_is_fetched_and_its_progress_told(fetch, server):
    watch = fetch("good")
    assert watch.seen == sorted(watch.seen)
    assert (watch.seen[0], watch.seen[-1]) == (0, len(CONTENT))
    assert len(watch.seen) > 3
    assert not watch.notes
    fetch("good")
    assert len(server.asked) == 1, "a file that is there is not fetched again"


def test_after_a_mirror_without_it_the_next_is_asked(fetch, server):
    watch = fetch("missing", "good")
    assert [name for name, _ in server.asked] == ["missing", "good"]
    assert "127.0.0.1: HTTP 404" in watch.notes[0]


def test_a_cut_connection_goes_on_where_it_was(fetch, server):
    fetch("cut")
    assert [r for _, r in server.asked] == ["", "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_another_run_and_another_mirror_go_on_where_it_was(fetch, server, tmp_path):
    with pytest.raises(DataError):
        fetch("cut-dead")
    assert (tmp_path / f"{NAME}.part").stat().st_size == 1000
    fetch("good")
    assert server.asked[-1] == ("good", "bytes=1000-")


def test_a_server_without_ranges_sends_it_all_again(fetch, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:5000])
    fetch("whole")


def test_a_wrong_sum_is_thrown_away_and_the_next_mirror_asked(fetch):
    watch = fetch("wrong", "good")
    assert "MD5 sum is wrong" in watch.notes[0]


def test_a_part_that_was_broken_is_fetched_again_from_the_start(fetch, server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(b"?" * 5000)
    watch = fetch("good")
    assert server.asked == [("good", "bytes=5000-"), ("good", "")]
    assert "fetching it again" in watch.notes[0]


def test_a_part_longer_than_the_file_is_fetched_again(fetch, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT + b"more")
    fetch("good")


def test_a_broken_file_is_replaced(fetch, tmp_path):
    (tmp_path / NAME).write_bytes(CONTENT[:-1])
    fetch("good")


def test_when_no_mirror_helps_the_file_to_put_there_is_named(server, tmp_path):
    file = wanted((server.url("missing"), server.url("wrong")), "http://127.0.0.1:9/nothing")
    with pytest.raises(DataError) as caught:
        download.fetch([file], tmp_path, Watch())
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "could not be downloaded" in lines[0]
    assert lines[1] == str(tmp_path / NAME)
    assert file.md5 in lines[2]
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize("url", ["http://example.org/x", "file:///etc/passwd", "ftp://a/b"])
def test_only_https_is_spoken(tmp_path, url):
    with pytest.raises(DataError, match="not secure"):
        download.fetch([wanted((), url)], tmp_path, Watch())


def test_a_redirect_to_another_scheme_is_refused(server, tmp_path):
    with pytest.raises(DataError, match="leads to ftp://"):
        download.fetch([wanted((), server.url("elsewhere"))], tmp_path, Watch())


def test_all_published_files_are_https_with_a_sum_each():
    files = [value for value in vars(published).values() if isinstance(value, File)]
    assert len({file.md5 for file in files}) == len(files) == 6
    for file in files:
        assert len(bytes.fromhex(file.md5)) == 16
        assert all(
            u.startswith("https://") and file.name in u for u in (*file.mirrors, file.official)
        )


def test_a_watcher_may_stop_a_download_and_what_came_is_kept(server, tmp_path):
    class Stop(Exception):  # noqa: N818
        pass

    class Impatient(Watch):
        def fetched(self, file: str, done_bytes: int, total_bytes: int) -> None:
            if done_bytes > 300_000:
                raise Stop

    with pytest.raises(Stop):
        download.fetch([wanted((), server.url("good"))], tmp_path, Impatient())
    assert (tmp_path / f"{NAME}.part").stat().st_size > 300_000


def test_a_full_disk_is_told_as_such(server, tmp_path, monkeypatch):
    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "_copy", full)
    with pytest.raises(SpaceError, match="disk is full"):
        download.fetch([wanted((), server.url("good"))], tmp_path, Watch())


def test_two_runs_fetch_a_file_once(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "POLL_S", 0.01)
    file = wanted((), server.url("good"))
    runs = [
        threading.Thread(target=download.fetch, args=([file], tmp_path, Watch())) for _ in range(3)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join(30)
    assert len(server.asked) == 1


def test_downloads_can_be_off(tmp_path):
    asked = Request("", DataSection(download=False), Watch())
    with pytest.raises(DataError, match="downloads are off"):
        download.fetch_for(asked, [wanted((), "https://example.org/x")], tmp_path)
