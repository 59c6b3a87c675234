"""Commands: what is written is read, and nothing else gets in."""

import contextlib

import pytest
from effort import times
from hypothesis import given, settings
from hypothesis import strategies as st

from darts_engine.run import commands
from darts_engine.run.commands import (
    Checkpoint,
    Command,
    Discretise,
    Pause,
    Resume,
    Stop,
    decode,
    encode,
)


@pytest.mark.parametrize("kind", [Pause, Resume, Checkpoint, Stop, Discretise])
def test_a_command_survives_its_line(kind: type[Command]) -> None:
    command = commands.stamped(kind)
    line = encode(command)
    assert line.count(b"\n") == 1
    assert decode(line) == command
    assert command.id
    assert command.t > 0


def test_a_hand_written_line_needs_only_type_and_id() -> None:
    assert decode(b'{"type": "stop", "id": "x1"}') == Stop(id="x1")
    assert decode(b'{"type":"stop","id":"x1","after_epoch":true}') == Stop(
        id="x1", after_epoch=True
    )


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"pause",
        b"[]",
        b'{"type":"pause"}',
        b'{"type":"explode","id":"a"}',
        b'{"type":"pause","id":7}',
        b'{"type":"pause","id":""}',
        b'{"type":"pause","id":"a\\n"}',
        b'{"type":"pause","id":"a/b"}',
        b'{"type":"pause","id":"\\u001b[31m"}',
        b'{"type":"pause","id":"' + b"a" * 65 + b'"}',
        b'{"type":"stop","id":"a","after_epoch":1}',
        b'{"type":"pause","id":"\xff"}',
        b'{"\xff":1}',
        b'{"type":"pause","id":"a","x":' + b"[" * 4000,
        b'{"type":"pause","id":"a","x":"' + b"x" * 5000 + b'"}',
    ],
    ids=lambda line: ascii(line[:40]),
)
def test_other_lines_are_refused_with_a_reason(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(line)


PIECES = st.sampled_from(
    [b"{", b"}", b'"type":', b'"pause"', b'"stop"', b'"id":', b'"a"', b",", b"[", b"]", b"null",
     b"1e999", b"-0", b"\xff", b"\x00", b'"\\ud800"', b'"t":', b'"after_epoch":', b"true", b"\n"]
)  # fmt: skip


@settings(max_examples=times(400, full=10_000), deadline=None)
@given(st.binary() | st.lists(PIECES).map(b"".join))
def test_any_bytes_are_a_command_or_a_value_error(line: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(decode(line), Command)
