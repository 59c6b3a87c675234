"""Checkpoints on disk: saved whole, verified, loaded, pruned.

A checkpoint is a tensor file and a manifest (JSON) with the SHA-256 of both. The manifest is
written last; without it the checkpoint does not exist. Both are written to a temporary name, synced
and renamed, so that a kill or a full disk leaves the older ones as they were. The digest finds a
flipped bit, which `torch.load` does not notice. Only tensors and plain containers are unpickled.
"""

import contextlib
import errno
import hashlib
import io
import re
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch

from darts_engine.run.errors import (
    CheckpointError,
    ForeignError,
    NotFiniteError,
    SpaceError,
    UnsafeFileError,
)
from darts_engine.run.folder import RunFolder
from darts_engine.run.private_files import PrivateFolder, is_temporary
from darts_engine.run.run_id import RunRecord
from darts_engine.run.settings.edits import edits
from darts_engine.runner.position import Position

FORMAT = 1
AUTOMATIC = ("epoch", "time", "stop")
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NAME = re.compile(r"^step-(?P<step>\d{9,})-seq-(?P<seq>\d+)\.(?P<kind>pt|json)\Z")
MAX_MANIFEST_BYTES = 1 << 20
# A checkpoint is read into memory: above what any network here needs, below what harms a machine.
MAX_BYTES = 16 << 30
OWN = "restore the run's own config.toml and checkpoints, or start a new run"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a checkpoint without opening its tensor file.

    `seq` is the last event before it was saved. `sha256` is of the tensor file and this manifest.
    Version 0.1.0 recorded neither `run`, the run's id, nor `config`, the settings.
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
    try:
        with opened(folder) as checkpoints:
            _write(checkpoints, path, content, msgspec.json.encode(manifest))
    except OSError as error:
        if error.errno in FULL_DISK:
            raise SpaceError(
                f"no room for a checkpoint of {len(content) / 1e6:.1f} MB", where=str(path)
            ) from None
        raise
    return Saved(path, len(content), time.monotonic() - began)


def _write(checkpoints: PrivateFolder, path: Path, content: bytes, manifest: bytes) -> None:
    name = _manifest_of(path.name)
    try:
        checkpoints.replace(path.name, content)
        checkpoints.replace(name, manifest)
    except OSError:
        if not checkpoints.has(name):
            # Without a manifest it is no checkpoint, and it fills the disk.
            checkpoints.delete(path.name)
        raise


def _manifest_of(name: str) -> str:
    return f"{name.removesuffix('.pt')}.json"


def opened(folder: RunFolder, *, make: bool = False) -> PrivateFolder:
    """The folder of a run's checkpoints, opened; with `make` it is made if there is none.

    Raises:
        UnsafeFileError: it is a link, no folder, or of another user.
        OSError: there is none, or it cannot be opened.
    """
    with folder.open() as run:
        return run.inner(folder.checkpoints.name, make=make)


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


def newest_first(folder: RunFolder) -> list[Path]:
    """Paths of a run's manifests, by the `seq` in their names; nothing is read.

    Steps would not do: a run that went back to an older checkpoint has fewer steps but later
    events.

    Raises:
        UnsafeFileError: the folder of the checkpoints is a link, or of another user.
    """
    try:
        with opened(folder) as checkpoints:
            names = checkpoints.names()
    except OSError:
        return []
    known = (name for name in map(NAME.match, names) if name and name["kind"] == "json")
    found = [(int(name["seq"]), int(name["step"]), name.string) for name in known]
    return [folder.checkpoints / name for *_, name in sorted(found, reverse=True)]


def read_manifest(path: Path) -> Manifest:
    """Read a manifest. Only `load` compares the digest.

    Raises:
        CheckpointError: it is missing, damaged or of another version.
    """
    with _readable(path), PrivateFolder.open(path.parent) as checkpoints:
        return _manifest(checkpoints, path)


def _manifest(checkpoints: PrivateFolder, path: Path) -> Manifest:
    with _readable(path):
        content = checkpoints.read(path.name, MAX_MANIFEST_BYTES)
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
    """
    path = folder.checkpoints / manifest.file
    with _readable(path), opened(folder) as checkpoints:
        content = checkpoints.read(path.name, min(MAX_BYTES, manifest.size_bytes))
    if manifest.digest(content) != manifest.sha256:
        raise CheckpointError("the checkpoint is damaged: its digest is wrong", where=str(path))
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001  a forged file may fail in any way
        what = f"the checkpoint cannot be loaded: {(str(error).splitlines() or [''])[0]}"
        raise CheckpointError(what[:300], where=str(path)) from None
    if not isinstance(state, dict):
        raise CheckpointError("the checkpoint holds no state", where=str(path))
    return state


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except UnsafeFileError as error:
        raise CheckpointError(error.what, where=str(path), remedy=error.remedy) from None
    except OSError as error:
        what = f"the checkpoint cannot be read: {error.strerror}"
        raise CheckpointError(what, where=str(path)) from None


def refuse_foreign(folder: RunFolder, manifest: Manifest, identity: dict[str, str]) -> None:
    """Refuse a checkpoint of another kind of run, or of another run.

    Raises:
        ForeignError: it is of another method, space or network, or has another run's id.
    """
    where = str(folder.checkpoints / manifest.file)
    for key, mine in identity.items():
        theirs = manifest.identity.get(key, "nothing")
        if theirs != mine:
            raise ForeignError(
                f"the checkpoint is of {key} {theirs}, the run is of {mine}",
                where=where,
                remedy=OWN,
            )
    record = folder.read_record()
    if record is not None and not manifest.is_of(record):
        raise ForeignError(
            f"the checkpoint is of run {manifest.run or 'without an id'}, this run is {record.id}",
            where=where,
            remedy=OWN,
        )


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
    record = folder.read_record()
    with opened(folder) as checkpoints:
        known = []
        for path in newest_first(folder):
            # An unreadable one, or one of another run, is kept for a person to look at.
            with contextlib.suppress(CheckpointError):
                if (manifest := _manifest(checkpoints, path)).is_of(record):
                    known.append(manifest)
        for name in _superfluous(known, keep, ends):
            # The manifest goes first: without it the checkpoint does not exist. A file that cannot
            # be deleted does not end the run; the next save tries again.
            with contextlib.suppress(OSError):
                checkpoints.delete(_manifest_of(name))
                checkpoints.delete(name)


def _superfluous(known: list[Manifest], keep: int, ends: Collection[int]) -> list[str]:
    automatic = [m for m in known if m.reason in AUTOMATIC]
    best = [m for m in known if m.reason == "best"]
    either = [m for m in known if m.reason in (*AUTOMATIC, "best")]
    # The newest come first, and so stay where an epoch was done again.
    last = {m.position.epoch: m for m in reversed(known) if m.position.is_epoch_done}
    needed = [m for epoch, m in last.items() if epoch in ends]
    stay = {m.file for m in automatic[:keep] + best[:1] + either[:keep] + needed}
    return [m.file for m in either if m.file not in stay]


def sweep(folder: RunFolder) -> None:
    """Remove what a killed engine left half-written. Call only while holding the run's lock."""
    with folder.open() as run, opened(folder, make=True) as checkpoints:
        names = set(checkpoints.names())
        orphans = [
            name.string
            for name in map(NAME.match, names)
            if name and name["kind"] == "pt" and _manifest_of(name.string) not in names
        ]
        for place, halves in ((run, run.names()), (checkpoints, names)):
            for name in filter(is_temporary, halves):
                with contextlib.suppress(OSError):
                    place.delete(name)
        for name in orphans:
            with contextlib.suppress(OSError):
                checkpoints.delete(name)


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
