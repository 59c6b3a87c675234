"""Commands, in the imperative: one struct per kind of line in `commands.jsonl`.

Anyone who may write the file may append a line. The engine reads the file between steps and answers
every line with `CommandAccepted` and `CommandDone`, or with `CommandRejected`; all carry its `id`.
"""

import getpass
import os
import re
import secrets
import time

import msgspec

MAX_LINE_BYTES = 4096
ID_PATTERN = r"^[A-Za-z0-9._-]{1,64}\Z"


class Command(msgspec.Struct, tag_field="type", tag=str.lower, kw_only=True, frozen=True):
    """What all commands have in common: an id that the sender chose, the time, and the sender."""

    id: str
    t: float = 0.0
    source: str = ""


class Pause(Command, kw_only=True, frozen=True):
    """Pause at the next step boundary."""


class Resume(Command, kw_only=True, frozen=True):
    """Go on after a pause."""


class Checkpoint(Command, kw_only=True, frozen=True):
    """Save a checkpoint at the next step boundary and keep it."""


class Stop(Command, kw_only=True, frozen=True):
    """Save a checkpoint and end: at the next step boundary, or when the epoch is over."""

    after_epoch: bool = False


class Discretise(Command, kw_only=True, frozen=True):
    """Measure the discretisation gap at the next step boundary."""


AnyCommand = Pause | Resume | Checkpoint | Stop | Discretise

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyCommand)


def new_id() -> str:
    """A fresh id for a command."""
    return secrets.token_hex(6)


def sender() -> str:
    """The sender of a command, for the event log: user and terminal, as in "ada@pts/3"."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    for descriptor in (0, 1, 2):
        try:
            return f"{user}@{os.ttyname(descriptor).removeprefix('/dev/')}"
        except OSError:
            continue
    return user


def stamped(kind: type[Command], **fields: object) -> Command:
    """A command of `kind`, stamped with a new id, the time and the sender."""
    return kind(id=new_id(), t=time.time(), source=sender(), **fields)


def encode(command: Command) -> bytes:
    """One line of the commands file, newline included."""
    return _encoder.encode(command) + b"\n"


def decode(line: bytes) -> AnyCommand:
    """The command on a line.

    Raises:
        ValueError: with the reason, for `CommandRejected`.
    """
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"the line is longer than {MAX_LINE_BYTES} bytes")
    try:
        command: AnyCommand = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if not re.match(ID_PATTERN, command.id):
        raise ValueError("the id must be 1 to 64 letters, digits, '.', '_' or '-'")
    return command
