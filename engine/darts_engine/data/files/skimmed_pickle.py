"""Skims published benchmark pickles for their accuracies, without running what they name.

NAS-Bench-201 and NATS-Bench are published as pickles of gigabytes, some inside torch's own files.
Their opcodes are read by `pickle_machine`, which never imports or calls anything. Two things differ
from `plain_pickle`: what is foreign (tensors, classes) becomes an inert stand-in instead of a
refusal, because only the numbers beside it matter; and the curves of every epoch are dropped as
soon as they are read, because the whole would not fit into most machines.
"""

import bz2
import io
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

from darts_engine.data.files.pickle_machine import (
    ACTIONS,
    VALUES,
    Action,
    Machine,
    PickleError,
    Value,
    same,
)

# A file of torch before 1.6 is a row of pickles: this number, a version, the system, the value.
TORCH_MAGIC = 0x1950A86A20F9469CFC6C
ACCURACIES = "eval_acc1es"
DROPPED = {
    *("train_acc1es", "train_acc5es", "train_losses", "train_times", "eval_acc5es", "eval_losses"),
    *("eval_times", "latency", "arch_config", "net_state_dict"),
}
SCALARS = {"f2": "e", "f4": "f", "f8": "d", "i4": "i", "i8": "q"}

# What reading a damaged file may raise; MemoryError comes of a damaged length.
DAMAGES = (
    *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError, MemoryError),
    *(EOFError, zipfile.BadZipFile, zlib.error, struct.error),
)


class _Stand:
    """A stand-in for something foreign: its name and the arguments that it was called with."""

    def __init__(self, name: str = "", arguments: object = ()) -> None:
        self.name, self.arguments = name, arguments


def skim(path: Path, progress: Callable[[int], None] = lambda _: None) -> Any:
    """The value in a pickle, plain, bz2-packed or inside a file of torch.

    Args:
        path: the file.
        progress: called now and then with how many bytes of the file are read; may raise to end
            the work.

    Returns:
        Plain values; of `eval_acc1es` by "set@epoch" only {set: accuracy of the last epoch}, and
        none of the curves in `DROPPED`.

    Raises:
        PickleError: it is damaged or no pickle.
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as raw, _unpacked(raw) as stream:
            value = _run(raw, stream, progress)
            if value == TORCH_MAGIC:
                for _ in range(3):
                    value = _run(raw, stream, progress)
            # A packed file holds a checksum, which is only compared when its end is read.
            while stream is not raw and stream.read(1 << 20):
                pass
            return value
    except PickleError:
        raise
    except DAMAGES as error:
        raise PickleError(f"it is damaged: {str(error)[:80]}") from None
    except OSError as error:
        # bz2 raises this for data that are not bz2; a fault of the disk has a number.
        if error.errno is None:
            raise PickleError(f"it is damaged: {str(error)[:80]}") from None
        raise


def _run(raw: IO[bytes], stream: IO[bytes], progress: Callable[[int], None]) -> Any:
    # Without `tell`, which would be called for every opcode.
    source: Any = SimpleNamespace(read=stream.read, readline=stream.readline)
    return Machine(_VALUES, _ACTIONS, lambda: progress(raw.tell())).run(source)


@contextmanager
def _unpacked(raw: IO[bytes]) -> Iterator[IO[bytes]]:
    """The stream of pickles in a file."""
    head = raw.read(4)
    raw.seek(0)
    if head[:3] == b"BZh":
        with bz2.open(raw) as stream:
            yield io.BufferedReader(stream)
    elif head == b"PK\x03\x04":
        with zipfile.ZipFile(raw) as archive:
            names = [name for name in archive.namelist() if name.split("/")[-1] == "data.pkl"]
            if len(names) != 1:
                raise PickleError("it is an archive without a pickle of torch")
            # Read-only and raw enough for a buffer, whatever its annotation says.
            member: Any = archive.open(names[0])
            with member:
                yield io.BufferedReader(member)
    else:
        yield raw


def _keep_last(accuracies: dict[Any, Any]) -> None:
    """Make {"set@epoch": accuracy} into {set: accuracy of its last epoch}, in place."""
    last: dict[str, tuple[int, Any]] = {}
    for key, value in accuracies.items():
        name, _, epoch = str(key).rpartition("@")
        if name and epoch.isdecimal() and (name not in last or int(epoch) > last[name][0]):
            last[name] = (int(epoch), value)
    accuracies.clear()
    accuracies.update({name: value for name, (_, value) in last.items()})


def _made(named: object, arguments: object) -> object:
    """The value that stands for a call; the few calls that hold numbers are understood."""
    name = named.name if isinstance(named, _Stand) else ""
    if name == "collections OrderedDict" and arguments == ():
        return {}
    if name == "_codecs encode" and isinstance(arguments, tuple) and isinstance(arguments[0], str):
        return arguments[0].encode("latin-1")
    if name.startswith("numpy") and name.endswith(".multiarray scalar"):
        kind, raw = arguments if isinstance(arguments, tuple) else (None, None)
        if isinstance(kind, _Stand) and isinstance(kind.arguments, tuple):
            code = SCALARS.get(str(kind.arguments[0]).lstrip("<|"))
            if code and isinstance(raw, bytes):
                return struct.unpack(f"<{code}", raw)[0]
    return _Stand(name, arguments)


def _stand_in(machine: Machine, consumed: int) -> None:
    """Push a stand-in in place of the topmost values."""
    machine.last(consumed)
    machine.push(_Stand())


def _set_items(machine: Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    for key, value in zip(items[::2], items[1::2], strict=True):
        if isinstance(key, str) and key in DROPPED:
            # The machine's memory still holds it, so it is emptied, not only left out.
            if isinstance(value, dict | list):
                value.clear()
        elif isinstance(target, dict):
            if key == ACCURACIES and isinstance(value, dict):
                _keep_last(value)
            target[key] = value


def _append(machine: Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if isinstance(target, list):
        target.extend(items)


_VALUES: dict[str, Value] = {
    **VALUES,
    **dict.fromkeys(["BINFLOAT", "FLOAT", "LONG4"], same),
    # The same few names come a hundred million times.
    **dict.fromkeys(["SHORT_BINUNICODE", "BINUNICODE", "UNICODE", "BINUNICODE8"], sys.intern),
    **dict.fromkeys(["STRING", "BINSTRING", "SHORT_BINSTRING"], same),
    **dict.fromkeys(["BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"], same),
    "EMPTY_SET": lambda _: _Stand(),
    "PERSID": lambda _: _Stand(),
    "GLOBAL": lambda name: _Stand(str(name)),
}
_ACTIONS: dict[str, Action] = {
    **ACTIONS,
    "DICT": lambda m, _: m.push(dict(zip(*[iter(m.marked())] * 2, strict=True))),
    "FROZENSET": lambda m, _: m.push(_Stand("", m.marked())),
    "SETITEM": lambda m, _: _set_items(m, list(m.last(2))),
    "SETITEMS": lambda m, _: _set_items(m, m.marked()),
    "APPEND": lambda m, _: _append(m, list(m.last(1))),
    "APPENDS": lambda m, _: _append(m, m.marked()),
    "ADDITEMS": lambda m, _: m.marked(),
    "STACK_GLOBAL": lambda m, _: m.push(_Stand(" ".join(map(str, m.last(2))))),
    "REDUCE": lambda m, _: m.push(_made(*m.last(2))),
    "NEWOBJ": lambda m, _: _stand_in(m, 2),
    "NEWOBJ_EX": lambda m, _: _stand_in(m, 3),
    "BINPERSID": lambda m, _: _stand_in(m, 1),
    "BUILD": lambda m, _: m.last(1),
    "POP": lambda m, _: m.last(1),
    "POP_MARK": lambda m, _: m.marked(),
}
