"""The complete state of a run on disk: captured, saved whole, verified, restored.

A checkpoint is a tensor file and a manifest (JSON) with its SHA-256. The manifest is written last
and is what makes the checkpoint exist; both are written beside their place, synced, and renamed, so
that a kill or a full disk leaves the older ones as they were. A flipped bit is found by the digest,
which `torch.load` would not notice. Nothing is unpickled but tensors and plain containers.
"""

import errno
import hashlib
import io
import pickle
import re
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch

from darts_engine.run.errors import CheckpointError, SpaceError
from darts_engine.run.folder import RunFolder, write_private

FORMAT = 1
AUTOMATIC = ("epoch", "time", "stop")
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NAME = re.compile(r"^step-(\d{9})-seq-(\d+)\.pt$")


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run stands: after `step` of `epoch` (both from 1; 0 before the first).

    `is_epoch_done` tells whether the epoch's validation and its facts are behind it too.
    """

    epoch: int = 0
    step: int = 0
    global_step: int = 0
    is_epoch_done: bool = True


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a checkpoint without opening it. `seq` is the last fact it knows of."""

    format: int
    file: str
    sha256: str
    size_bytes: int
    reason: str
    position: Position
    seq: int
    identity: dict[str, str]
    environment: dict[str, str]
    created: float


@dataclass(frozen=True)
class Saved:
    """A checkpoint that is durable: its path, size and how long it took."""

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
    identity: dict[str, str],
    environment: dict[str, str],
) -> Saved:
    """Write a checkpoint whole.

    Args:
        folder: the run.
        state: nested dictionaries and lists of tensors, numbers and strings.
        position: where the run stands.
        reason: epoch, time, stop, command or best; decides how long it is kept.
        seq: the last fact that the state contains.
        identity: what a run must have in common with the checkpoint to take it up.
        environment: what bit-identical resuming depends on (versions, threads, device).

    Raises:
        SpaceError: there is no room; older checkpoints are untouched.
    """
    began = time.monotonic()
    # Serialised in memory first: torch turns a full disk into a RuntimeError without an errno.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    # The sequence number only grows, so a checkpoint never overwrites another.
    path = folder.checkpoints / f"step-{position.global_step:09d}-seq-{seq}.pt"
    manifest = Manifest(
        format=FORMAT,
        file=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        reason=reason,
        position=position,
        seq=seq,
        identity=identity,
        environment=environment,
        created=time.time(),
    )
    try:
        write_private(path, content)
        write_private(path.with_suffix(".json"), msgspec.json.encode(manifest))
    except OSError as error:
        if error.errno in FULL_DISK:
            raise SpaceError(
                f"no room for a checkpoint of {len(content) / 1e6:.1f} MB", where=str(path)
            ) from None
        raise
    return Saved(path, len(content), time.monotonic() - began)


def manifests(folder: RunFolder) -> list[Manifest]:
    """The manifests of a run, the newest position first; unreadable ones are left out."""
    found = []
    for path in folder.checkpoints.glob("step-*.json"):
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        except (OSError, msgspec.MsgspecError):
            continue
        if NAME.match(manifest.file) and manifest.format == FORMAT:
            found.append(manifest)
    return sorted(found, key=lambda m: (m.position.global_step, m.seq), reverse=True)


def load(folder: RunFolder, manifest: Manifest) -> dict[str, Any]:
    """Read a checkpoint's state onto the CPU, after checking its digest.

    Raises:
        CheckpointError: the file is missing, damaged, or holds more than tensors.
    """
    path = folder.checkpoints / manifest.file
    try:
        content = path.read_bytes() if not path.is_symlink() else b""
    except OSError as error:
        raise CheckpointError(f"the checkpoint cannot be read: {error}", where=str(path)) from None
    if hashlib.sha256(content).hexdigest() != manifest.sha256:
        raise CheckpointError("the checkpoint is damaged: its digest is wrong", where=str(path))
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        what = str(error).splitlines()[0]
        raise CheckpointError(f"the checkpoint cannot be loaded: {what}", where=str(path)) from None
    if not isinstance(state, dict):
        raise CheckpointError("the checkpoint holds no state", where=str(path))
    return state


def refuse_foreign(folder: RunFolder, manifest: Manifest, identity: dict[str, str]) -> None:
    """Make sure that a checkpoint is of this kind of run.

    Raises:
        CheckpointError: it is of another method, space or network.
    """
    for key, mine in identity.items():
        theirs = manifest.identity.get(key, "nothing")
        if theirs != mine:
            raise CheckpointError(
                f"the checkpoint is of {key} {theirs}, the run is of {mine}",
                where=str(folder.checkpoints / manifest.file),
                remedy="start a new run, or restore the run's own config.toml",
            )


def prune(folder: RunFolder, keep: int) -> None:
    """Delete all but the newest `keep` automatic checkpoints, older bests, and left-over halves."""
    known = manifests(folder)
    automatic = [m for m in known if m.reason in AUTOMATIC]
    best = [m for m in known if m.reason == "best"]
    for manifest in automatic[keep:] + best[1:]:
        # The manifest goes first: without it the checkpoint does not exist.
        (folder.checkpoints / manifest.file).with_suffix(".json").unlink(missing_ok=True)
        (folder.checkpoints / manifest.file).unlink(missing_ok=True)


def sweep(folder: RunFolder) -> None:
    """Remove what a killed engine left half-written. Call only while holding the run's lock."""
    for path in folder.checkpoints.iterdir():
        orphan = NAME.match(path.name) and not path.with_suffix(".json").exists()
        if ".tmp." in path.name or orphan:
            path.unlink(missing_ok=True)
    for path in folder.path.glob("*.tmp.*"):
        path.unlink(missing_ok=True)
