"""Checkpoints on disk: saved whole, verified, loaded, pruned.

A checkpoint is a tensor file and a manifest (JSON) with the SHA-256 of both. The manifest is
written last; without it the checkpoint does not exist. Both are written to a temporary name, synced
and renamed, so that a kill or a full disk leaves the older ones as they were. The digest finds a
flipped bit, which `torch.load` does not notice. Only tensors and plain containers are unpickled.
The folder of checkpoints may have come from someone else: it is opened as `PrivateFolder` does.
"""

import contextlib
import errno
import hashlib
import io
import re
import time
import zipfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psutil
import torch

from darts_engine.run.errors import (
    CheckpointError,
    ForeignError,
    NotFiniteError,
    SpaceError,
    TooLargeError,
    UnsafeFileError,
)
from darts_engine.run.folder import RunFolder
from darts_engine.run.private_files import PrivateFolder, is_temporary
from darts_engine.run.run_id import RunRecord
from darts_engine.run.settings.edits import edits
from darts_engine.runner.position import Position

FORMAT = 1
MAX_MANIFEST_BYTES = 1_000_000
AUTOMATIC = ("epoch", "time", "stop")
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
OWN = "restore the run's own data, config.toml and checkpoints, or start a new run"
NAME = re.compile(r"^step-(?P<step>\d{9,})-seq-(?P<seq>\d+)\.pt\Z")


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a checkpoint without opening its tensor file.

    `seq` is the last event before it was saved. `sha256` is of the tensor file and this manifest.
    Versions up to 0.2.0 recorded neither `run`, the run's id, nor `config`, the settings.
    """

    format: int
    file: str
    size_bytes: int
    reason: str
    position: Position
    seq: int
    identity: dict[str, str]
    environment: dict[str, str]
    created: float
    sha256: str = ""
    run: str | msgspec.UnsetType = msgspec.UNSET
    config: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET

    def is_of(self, record: RunRecord | None) -> bool:
        """Whether it is of the run with this record; without a record there is nothing to tell."""
        return record is None or record.owns(self.run or "", self.seq)

    def digest(self, content: bytes) -> str:
        """The SHA-256 of a tensor file's content and all other fields of this manifest."""
        fields = msgspec.json.encode(msgspec.structs.replace(self, sha256=""))
        return hashlib.sha256(hashlib.sha256(content).digest() + fields).hexdigest()


@dataclass(frozen=True)
class Origin:
    """The run that a checkpoint is of.

    Attributes:
        identity: what a run must have in common with the checkpoint to load it.
        environment: what bit-identical resuming depends on (versions, threads, device).
        run: the run's id.
        config: the settings, as nested tables.
    """

    identity: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    run: str = ""
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Saved:
    """A checkpoint that is durable: path, size, and seconds that saving took."""

    path: Path
    size_bytes: int
    seconds: float


def save(
    folder: RunFolder,
    state: dict[str, Any],
    position: Position,
    *,
    reason: str,
    seq: int,
    origin: Origin,
) -> Saved:
    """Write a checkpoint.

    Args:
        folder: the run.
        state: nested dictionaries and lists of tensors, numbers and strings.
        position: of the run.
        reason: epoch, time, stop, command or best; decides how long it is kept.
        seq: of the last event before the state.
        origin: of the state.

    Raises:
        SpaceError: there is no room; older checkpoints are untouched.
        OSError: it cannot be written for another reason; older checkpoints are untouched.
        UnsafeFileError: the folder of checkpoints is a link, or of another user.
        NotFiniteError: the state holds a number that is not finite; nothing was written.
    """
    began = time.monotonic()
    if where := find_not_finite(state):
        raise NotFiniteError(
            "the state holds a number that is not finite, so it was not saved",
            where=f"{where}, after epoch {position.epoch}, step {position.step}",
            remedy="lower --lr or --alpha-lr; the checkpoints before this one are good",
        )
    # Serialised in memory first: torch turns a full disk into a RuntimeError without an errno.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    # The sequence number only grows, so a checkpoint never overwrites another.
    path = folder.checkpoints / f"step-{position.global_step:09d}-seq-{seq}.pt"
    manifest = Manifest(
        format=FORMAT,
        file=path.name,
        size_bytes=len(content),
        reason=reason,
        position=position,
        seq=seq,
        identity=origin.identity,
        environment=origin.environment,
        created=time.time(),
        run=origin.run or msgspec.UNSET,
        config=origin.config or msgspec.UNSET,
    )
    manifest = msgspec.structs.replace(manifest, sha256=manifest.digest(content))
    with opened(folder, make=True) as inside:
        try:
            inside.replace(path.name, content)
            inside.replace(path.with_suffix(".json").name, msgspec.json.encode(manifest))
        except OSError as error:
            if not inside.has(path.with_suffix(".json").name):
                # Without a manifest it is no checkpoint, and it fills the disk.
                inside.delete(path.name)
            if error.errno in FULL_DISK:
                raise SpaceError(
                    f"no room for a checkpoint of {len(content) / 1e6:.1f} MB", where=str(path)
                ) from None
            raise
    return Saved(path, len(content), time.monotonic() - began)


def find_not_finite(state: Any) -> str:
    """The path of a tensor with a number that is not finite, as in "method.state.0"; else ""."""
    if isinstance(state, torch.Tensor):
        return "" if not state.is_floating_point() or bool(torch.isfinite(state).all()) else "."
    parts: Iterable[tuple[Any, Any]] = ()
    if isinstance(state, dict):
        parts = state.items()
    elif isinstance(state, list | tuple):
        parts = enumerate(state)
    for key, part in parts:
        if inside := find_not_finite(part):
            return f"{key}.{inside}".rstrip(".")
    return ""


def opened(folder: RunFolder, *, make: bool = False) -> PrivateFolder:
    """The folder of a run's checkpoints, opened; with `make` it is made if there is none.

    Raises:
        UnsafeFileError: it is a link, no folder, or of another user.
        OSError: there is none, or it cannot be opened.
    """
    with folder.open() as run:
        return run.inner(folder.checkpoints.name, make=make)


def newest_first(folder: RunFolder) -> list[Path]:
    """Paths of a run's manifests, by the `seq` in their names; nothing is read.

    Steps would not do: a run that went back to an older checkpoint has fewer steps but later
    events.

    Raises:
        UnsafeFileError: the folder of checkpoints is a link, or of another user.
    """
    try:
        with opened(folder) as inside:
            paths = [folder.checkpoints / name for name in inside.names()]
    except FileNotFoundError:
        return []
    found = [
        (int(name["seq"]), int(name["step"]), path)
        for path in paths
        if path.suffix == ".json" and (name := NAME.match(path.with_suffix(".pt").name))
    ]
    return [path for *_, path in sorted(found, reverse=True)]


def of_this_run(folder: RunFolder) -> list[Path]:
    """As `newest_first`, without checkpoints of other runs; unreadable ones are among them.

    Raises:
        ForeignError: there are only checkpoints of other runs.
        UnsafeFileError: the folder of checkpoints is a link, or of another user.
    """
    paths, foreign = [], None
    for path in newest_first(folder):
        with contextlib.suppress(CheckpointError):
            try:
                refuse_foreign(folder, read_manifest_in(folder, path), {})
            except ForeignError as error:
                foreign = foreign or error
                continue
        paths.append(path)
    if foreign is not None and not paths:
        raise foreign
    return paths


def read_manifest(path: Path) -> Manifest:
    """Read a manifest. Only `load` compares the digest.

    Raises:
        CheckpointError: it is missing, damaged or of another version.
    """
    return read_manifest_in(RunFolder(path.parents[1]), path)


def read_manifest_in(folder: RunFolder, path: Path) -> Manifest:
    """As `read_manifest`, of a run that may be held."""
    with _reading(folder, path) as inside:
        content = inside.read(path.name, MAX_MANIFEST_BYTES)
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        what = f"the checkpoint's manifest is damaged: {error}"
        raise CheckpointError(what[:300], where=str(path)) from None
    if manifest.format != FORMAT or manifest.file != path.with_suffix(".pt").name:
        raise CheckpointError(
            f"the checkpoint is of format {manifest.format}, not {FORMAT}, or was renamed",
            where=str(path),
        )
    if msgspec.json.encode(manifest) != content:
        raise CheckpointError("the checkpoint's manifest is damaged", where=str(path))
    return manifest


def load(folder: RunFolder, manifest: Manifest) -> dict[str, Any]:
    """Read a checkpoint's state onto the CPU, after checking its digest.

    Raises:
        CheckpointError: the file is missing, damaged, or holds more than tensors.
        TooLargeError: there is not enough free memory.
    """
    path = folder.checkpoints / manifest.file
    with _reading(folder, path) as inside:
        size = inside.plain_stat(path.name).st_size
        if size != manifest.size_bytes:
            what = f"the checkpoint is damaged: it has {size:,} bytes, not {manifest.size_bytes:,}"
            raise CheckpointError(what, where=str(path))
        _refuse_too_large(size, path)
        content = inside.read(path.name, size)
    if manifest.digest(content) != manifest.sha256:
        raise CheckpointError("the checkpoint is damaged: its digest is wrong", where=str(path))
    _refuse_inflating(content, path)
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001  a forged file may fail in any way
        what = f"the checkpoint cannot be loaded: {(str(error).splitlines() or [''])[0]}"
        raise CheckpointError(what[:300], where=str(path)) from None
    if not isinstance(state, dict):
        raise CheckpointError("the checkpoint holds no state", where=str(path))
    return state


@contextlib.contextmanager
def _reading(folder: RunFolder, path: Path) -> Iterator[PrivateFolder]:
    """The folder of a checkpoint's file, opened; why it cannot be read becomes CheckpointError."""
    try:
        with opened(folder) as inside:
            yield inside
    except UnsafeFileError as error:
        raise CheckpointError(error.what, where=error.where, remedy=error.remedy) from None
    except FileNotFoundError:
        raise CheckpointError("the checkpoint is missing", where=str(path)) from None
    except OSError as error:
        what = f"the checkpoint cannot be read: {error.strerror}"
        raise CheckpointError(what, where=str(path)) from None


def _refuse_too_large(size: int, path: Path) -> None:
    # The file's content and the tensors made of it are there at the same time.
    needed, free = 2 * size, psutil.virtual_memory().available + psutil.swap_memory().free
    if needed > free:
        raise TooLargeError(
            f"loading the checkpoint needs about {needed / 1e9:.1f} GB of memory, "
            f"and {free / 1e9:.1f} GB are free",
            where=str(path),
            remedy="end other programs and resume the run again",
        )


def _refuse_inflating(content: bytes, path: Path) -> None:
    """Refuse what is no archive as `torch.save` writes it: its parts are never compressed."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            inflated = sum(part.file_size for part in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, ValueError):
        raise CheckpointError("the checkpoint is no archive of tensors", where=str(path)) from None
    if inflated > len(content):
        raise CheckpointError("the checkpoint is larger than its file", where=str(path))


def refuse_foreign(folder: RunFolder, manifest: Manifest, identity: dict[str, str]) -> None:
    """Refuse a checkpoint of another kind of run, or of another run.

    Raises:
        ForeignError: it is of another method, space or network, or has another run's id.
    """
    where = str(folder.checkpoints / manifest.file)
    for key, mine in identity.items():
        theirs = manifest.identity.get(key, "nothing")
        if theirs != mine:
            what = f"the checkpoint is of {key} {theirs}, the run is of {mine}"
            raise ForeignError(what, where=where, remedy=OWN)
    record = folder.read_record()
    if record is not None and not manifest.is_of(record):
        theirs = f"of run {manifest.run}" if manifest.run else "of a run without an id"
        what = f"the checkpoint is {theirs}, this run is {record.id}"
        raise ForeignError(what, where=where, remedy=OWN)


def refuse_edited(folder: RunFolder, before: dict[str, Any], origin: Origin, file: str) -> None:
    """Refuse a checkpoint made with settings that must stay as they were; see `edits.py`.

    Args:
        folder: the run.
        before: the settings that the checkpoint was made with.
        origin: of the run now.
        file: name of the checkpoint.

    Raises:
        ForeignError: a setting that decides how the run computes was another.
    """
    changed = [str(edit) for edit in edits(before, origin.config) if not edit.is_allowed]
    if changed:
        raise ForeignError(
            f"the checkpoint was made with other settings: {', '.join(changed)}"[:300],
            where=str(folder.checkpoints / file),
            remedy=OWN,
        )


def prune(folder: RunFolder, keep: int, ends: Collection[int] = ()) -> None:
    """Delete all but the newest `keep` automatic checkpoints and the newest best one.

    If nearly every epoch is the best so far, there are few automatic ones: then older best ones
    stay, so that there are always `keep` to go back to. The newest of the end of each epoch in
    `ends` stays too.
    """
    # What cannot be read or deleted does not end the run; the next save tries again.
    with contextlib.suppress(OSError):
        gone = _superfluous(folder, keep, ends)
        with opened(folder) as inside:
            for file in gone:
                # The manifest goes first: without it the checkpoint does not exist.
                inside.delete(Path(file).with_suffix(".json").name)
                inside.delete(file)


def _superfluous(folder: RunFolder, keep: int, ends: Collection[int]) -> list[str]:
    known, record = [], folder.read_record()
    for path in newest_first(folder):
        # An unreadable one, or one of another run, is kept for a person to look at.
        with contextlib.suppress(CheckpointError):
            manifest = read_manifest_in(folder, path)
            if manifest.is_of(record):
                known.append(manifest)
    automatic = [m for m in known if m.reason in AUTOMATIC]
    best = [m for m in known if m.reason == "best"]
    either = [m for m in known if m.reason in (*AUTOMATIC, "best")]
    # The newest come first, and so stay where an epoch was done again.
    last = {m.position.epoch: m for m in reversed(known) if m.position.is_epoch_done}
    needed = [m for epoch, m in last.items() if epoch in ends]
    stay = {m.file for m in automatic[:keep] + best[:1] + either[:keep] + needed}
    return [m.file for m in either if m.file not in stay]


def sweep(folder: RunFolder) -> None:
    """Remove what a killed engine left half-written. Call only while holding the run's lock.

    Raises:
        UnsafeFileError: the folder of checkpoints is a link, or of another user.
    """
    with folder.open() as outside, opened(folder, make=True) as inside:
        _delete(outside, [name for name in outside.names() if is_temporary(name)])
        names = inside.names()
        halves = [name for name in names if is_temporary(name)]
        manifests = {name.removesuffix(".json") for name in names if name.endswith(".json")}
        orphans = [n for n in names if NAME.match(n) and n.removesuffix(".pt") not in manifests]
        _delete(inside, halves + orphans)


def _delete(folder: PrivateFolder, names: Iterable[str]) -> None:
    for name in names:
        with contextlib.suppress(OSError):
            folder.delete(name)


@contextlib.contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Context in which a task loads the state of a checkpoint.

    Raises:
        CheckpointError: the state does not fit the task.
    """
    try:
        yield
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"the checkpoint does not fit the run: {(str(error).splitlines() or [''])[0]}"[:300],
            where=str(path),
            remedy="has the data set or config.toml changed? restore it, or start a new run",
        ) from None
