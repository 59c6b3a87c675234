"""`run.json`: the random id of a run, which tells it from another run of the same name.

The id has a file of its own, because `config.toml` also serves as the template of new runs and
`engine.json` is written anew by every engine. It is there before the first engine starts, and is
repeated in `engine.json`, in every checkpoint and in `run_started`.
"""

import secrets

import msgspec

NAME = "run.json"
MAX_BYTES = 4096
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class RunRecord(msgspec.Struct, kw_only=True, frozen=True):
    """The content of `run.json`.

    Attributes:
        id: 16 hexadecimal digits.
        unnamed_until: checkpoints without an id are the run's own up to this event; more than 0
            only for a run that began with a version up to 0.2.0, which knew no ids.
    """

    id: str
    unnamed_until: int = 0

    def owns(self, run: str, seq: int) -> bool:
        """Whether a checkpoint is of this run.

        Args:
            run: the id in the checkpoint; empty if it has none.
            seq: the last event before it.
        """
        return run == self.id if run else seq <= self.unnamed_until


def new_id() -> str:
    """An id that no other run has."""
    return secrets.token_hex(8)


def encode(record: RunRecord) -> bytes:
    """The content of the file."""
    return msgspec.json.encode(record) + b"\n"


class _Repetition(msgspec.Struct):
    run: str = ""


def repeated_in(manifest: bytes) -> str:
    """The id in the manifest of a checkpoint; empty if it has none or is damaged."""
    try:
        return msgspec.json.decode(manifest, type=_Repetition).run
    except _UNREADABLE:
        return ""


def decode(content: bytes) -> RunRecord | None:
    """The record in a file; None if the file is damaged."""
    try:
        record = msgspec.json.decode(content, type=RunRecord)
    except _UNREADABLE:
        return None
    return record if record.id else None
