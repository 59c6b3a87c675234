"""Downloads published files over HTTPS: from mirrors first, resumable, checked by MD5 sum.

An unfinished download is NAME.part beside the file; only a whole file with the right sum gets the
file's name. An interrupted download goes on where it was, also from another mirror and in another
run. A part with a wrong sum is deleted.
"""

import contextlib
import errno
import fcntl
import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from darts_engine.data.dataset import Request
from darts_engine.data.files.published import File
from darts_engine.data.watch import Watch
from darts_engine.run.errors import DataError, SpaceError

TIMEOUT_S = 30.0
PIECE_BYTES = 1 << 18
# Waits after connections in a row that brought no byte; then the next mirror is tried.
PATIENCE_S = (1.0, 2.0, 4.0)
POLL_S = 0.5
# File systems without locks: two runs may then download the same file, and both get it whole.
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class _Refused(Exception):  # noqa: N818  one mirror less, not a fault
    """A mirror did not deliver the file; the message is the reason."""


def fetch_for(request: Request, files: Sequence[File], folder: Path) -> tuple[File, Path]:
    """`fetch`, if the config allows downloads.

    Raises:
        DataError: as `fetch`, or downloads are off.
        SpaceError: as `fetch`.
    """
    if request.data.download:
        return fetch(files, folder, request.watch)
    broken = [file for file in files if (folder / file.name).exists()]
    names = " or ".join(file.name for file in broken or files)
    raise DataError(
        f"{names} is {'broken' if broken else 'not here'}, and downloads are off",
        where=str(folder),
        remedy="put it there, name another folder with --data-dir, or allow --download",
    )


def fetch(files: Sequence[File], folder: Path, watch: Watch) -> tuple[File, Path]:
    """Download one of several equivalent files.

    Args:
        files: in the order of preference; the first that can be downloaded is used.
        folder: for the file; made if it is missing.
        watch: takes reports of progress and of mirrors that fail.

    Returns:
        The file, and its path.

    Raises:
        DataError: no mirror delivers any of them. Put the file into the folder by hand.
        SpaceError: the disk is full.
    """
    tries = [(file, url) for file in files for url in file.mirrors]
    tries += [(file, file.official) for file in files]
    wanted = files[0]
    why = "no mirror is known"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder, wanted, watch):
            for file, url in tries:
                path = folder / file.name
                # Another run may have downloaded it while this one waited.
                if path.exists() and is_whole(path, file):
                    return file, path
                try:
                    _fetch_from(url, file, folder, watch)
                except _Refused as refused:
                    why = f"{urlsplit(url).hostname}: {refused}"
                    watch.note(f"{file.name} could not be fetched from {why}", "warning")
                else:
                    return file, path
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SpaceError(
                f"the disk is full: {wanted.name} needs {wanted.size / 1e6:.0f} MB",
                where=str(folder),
                remedy="free some space, or choose another --data-dir; what is there is kept",
            ) from None
        raise DataError(
            f"the folder for data sets cannot be written: {error.strerror}", where=str(folder)
        ) from None
    raise DataError(
        f"{wanted.name} could not be downloaded; the last try: {why}"[:300],
        where=str(folder / wanted.name),
        remedy=f"put the file there from another machine (md5 {wanted.md5}), or use --data-dir",
    )


def is_whole(path: Path, file: File) -> bool:
    """Whether a file is the published one."""
    return path.stat().st_size == file.size and md5_of(path) == file.md5


def md5_of(path: Path) -> str:
    """The MD5 sum of a file. It finds accidents; it does not protect against forgery."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@contextlib.contextmanager
def _alone(folder: Path, file: File, watch: Watch) -> Iterator[None]:
    """Wait until no other run downloads the file, and hold its lock."""
    with (folder / f".{file.name}.lock").open("wb") as lock:
        waits = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno in NO_LOCKS:
                    break
                if not isinstance(error, BlockingIOError):
                    raise
                if not waits:
                    watch.note(f"another run is downloading {file.name}: waiting for it")
                waits = True
                part = folder / f"{file.name}.part"
                watch.fetched(file.name, _size(part), file.size)
                time.sleep(POLL_S)
        yield


def _fetch_from(url: str, file: File, folder: Path, watch: Watch) -> None:
    """Download from one mirror until the file is whole.

    Raises:
        _Refused: the mirror does not deliver it.
    """
    part = folder / f"{file.name}.part"
    is_resumed = part.exists()
    where = f"{file.name} ({file.size / 1e6:.0f} MB) from {urlsplit(url).hostname}"
    watch.note(f"going on downloading {where}" if is_resumed else f"downloading {where}")
    _receive_all(url, file, part, watch)
    if not is_whole(part, file):
        part.unlink()
        if not is_resumed:
            raise _Refused("the MD5 sum is wrong, so it was thrown away")
        watch.note(f"{file.name} was broken where its download was cut: fetching it again")
        _receive_all(url, file, part, watch)
        if not is_whole(part, file):
            part.unlink()
            raise _Refused("the MD5 sum is wrong, so it was thrown away")
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    part.replace(folder / file.name)


def _receive_all(url: str, file: File, part: Path, watch: Watch) -> None:
    """Append to `part` until it is complete, with a new connection after each interruption.

    Raises:
        _Refused: the mirror delivers nothing, or nothing any more.
    """
    first = before = _size(part)
    cuts = 0
    while before != file.size:
        if before > file.size:
            part.unlink()
            before = 0
        why = _receive(url, file, part, before, watch)
        now = _size(part)
        if now < file.size:
            cuts = 0 if now > before else cuts + 1
            if now == first or cuts > len(PATIENCE_S):
                raise _Refused(why)
            time.sleep(PATIENCE_S[max(0, cuts - 1)])
        before = now


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _receive(url: str, file: File, part: Path, start: int, watch: Watch) -> str:
    """Write what one connection delivers after `start` bytes. Returns: why it ended early."""
    headers = {"User-Agent": "darts-tui", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        answer = _open(urllib.request.Request(url, headers=headers))  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
        raise _Refused(f"HTTP {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _reason(error)
    with answer:
        # A server without ranges sends the whole file again.
        mode = "ab" if start and _starts_at(answer, start) else "wb"
        with part.open(mode) as stream:
            return _copy(answer, stream, file, watch)


def _copy(answer: http.client.HTTPResponse, stream: IO[bytes], file: File, watch: Watch) -> str:
    """Write what arrives, up to the file's size. Returns: why it ended early."""
    done = stream.tell()
    watch.fetched(file.name, done, file.size)
    while done < file.size:
        try:
            # Takes what has arrived: a slow host must not hold up a command to stop.
            piece = answer.read1(min(PIECE_BYTES, file.size - done))
        except (OSError, http.client.HTTPException) as error:
            return _reason(error)
        if not piece:
            return "the connection was cut"
        stream.write(piece)
        done += len(piece)
        watch.fetched(file.name, done, file.size)
    return ""


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return (str(reason).splitlines() or [type(error).__name__])[0][:120]


def _starts_at(answer: http.client.HTTPResponse, start: int) -> bool:
    if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
        return False
    sent = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    if sent is None or int(sent[1]) != start:
        raise _Refused("it answers with another part of the file than was asked for")
    return True


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _refuse_unsafe(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(request: urllib.request.Request) -> http.client.HTTPResponse:
    _refuse_unsafe(request.full_url)
    opener = urllib.request.build_opener(_SafeRedirects)
    answer: http.client.HTTPResponse = opener.open(request, timeout=TIMEOUT_S)
    return answer


def _refuse_unsafe(url: str) -> None:
    """Refuse all but HTTPS and servers on this machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise _Refused(f"it leads to {parts.scheme}://, which is not secure")
