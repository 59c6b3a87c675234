"""Skims published benchmark pickles for their accuracies, without running what they ask for.

NAS-Bench-201 and NATS-Bench are published as pickles of gigabytes, some inside torch's own files.
As in `data/plain_pickle.py`, their opcodes are read by an interpreter that never imports or calls
anything. It differs in two ways: what is foreign (tensors, classes) becomes an inert stand-in
instead of a refusal, because only the numbers beside it matter; and the curves of every epoch are
dropped as soon as they are read, because the whole would not fit into most machines.
"""

import bz2
import io
import pickletools
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

# What begins a file of torch before 1.6, which is a row of pickles: this, a version, the system,
# and only then the value.
TORCH_MAGIC = 0x1950A86A20F9469CFC6C
ACCURACIES = "eval_acc1es"
DROPPED = {
    *("train_acc1es", "train_acc5es", "train_losses", "train_times", "eval_acc5es", "eval_losses"),
    *("eval_times", "latency", "arch_config", "net_state_dict"),
}
SCALARS = {"f2": "e", "f4": "f", "f8": "d", "i4": "i", "i8": "q"}
TELL_EVERY = 1 << 20

# What reading a damaged file may come to; MemoryError is of a length that is none.
DAMAGES = (
    *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError, MemoryError),
    *(EOFError, zipfile.BadZipFile, zlib.error, struct.error),
)

_MARK = object()


class SkimError(ValueError):
    """The file is damaged or no pickle."""


class _Stand:
    """What stands for something foreign: its name and what it was called with."""

    def __init__(self, name: str = "", arguments: object = ()) -> None:
        self.name, self.arguments = name, arguments


def skim(path: Path, tell: Callable[[int], None] = lambda _: None) -> Any:
    """The value in a pickle, plain, bz2-packed or inside a file of torch.

    Args:
        path: the file.
        tell: hears now and then how many bytes of the file are read; may raise to end the work.

    Returns:
        Plain values; of `eval_acc1es` by "set@epoch" only {set: accuracy of the last epoch}, and
        none of the curves in `DROPPED`.

    Raises:
        SkimError: it is damaged or no pickle.
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as raw, _unpacked(raw) as stream:

            def told() -> None:
                tell(raw.tell())

            value = _Machine(told).run(stream)
            if value == TORCH_MAGIC:
                for _ in range(3):
                    value = _Machine(told).run(stream)
            # A packed file holds a sum, which is only looked at when its end is read.
            while stream is not raw and stream.read(1 << 20):
                pass
            return value
    except SkimError:
        raise
    except DAMAGES as error:
        raise SkimError(f"it is damaged: {str(error)[:80]}") from None
    except OSError as error:
        # How bz2 says that its data are not bz2; a fault of the disk has a number.
        if error.errno is None:
            raise SkimError(f"it is damaged: {str(error)[:80]}") from None
        raise


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
                raise SkimError("it is an archive without a pickle of torch")
            # Read-only and raw enough for a buffer, whatever its annotation says.
            member: Any = archive.open(names[0])
            with member:
                yield io.BufferedReader(member)
    else:
        yield raw


class _Machine:
    """The stack and the memory that the opcodes work on."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        self.stack: list[Any] = []
        # Places come in order; a list of a hundred million is a tenth of such a dictionary.
        self.memory: list[Any] = []
        self.elsewhere: dict[int, Any] = {}

    def run(self, stream: IO[bytes]) -> Any:
        # Without `tell`, which would be called for every opcode.
        source: Any = SimpleNamespace(read=stream.read, readline=stream.readline)
        for count, (opcode, argument, _) in enumerate(pickletools.genops(source)):
            name = opcode.name
            if count % TELL_EVERY == 0:
                self._tell()
            if name in _VALUES:
                self.stack.append(_VALUES[name](argument))
            elif name in _ACTIONS:
                _ACTIONS[name](self, argument)
            elif name == "STOP":
                return self.stack.pop()
            elif name not in ("PROTO", "FRAME"):
                raise SkimError(f"it uses the opcode {name}")
        raise SkimError("it has no end")

    def marked(self) -> list[Any]:
        """Everything above the last mark."""
        start = len(self.stack) - 1
        while self.stack[start] is not _MARK:
            start -= 1
            if start < 0:
                raise SkimError("it is damaged: a mark is missing")
        found = self.stack[start + 1 :]
        del self.stack[start:]
        return found

    def last(self, count: int) -> tuple[Any, ...]:
        """The topmost values, as a tuple."""
        found = tuple(self.stack[-count:])
        if len(found) != count:
            raise SkimError("it is damaged: nothing is left")
        del self.stack[-count:]
        return found

    def remember(self, place: int | None) -> None:
        if place is None or place == len(self.memory):
            self.memory.append(self.stack[-1])
        else:
            self.elsewhere[place] = self.stack[-1]

    def recall(self, place: int) -> None:
        found = self.elsewhere.get(place, _MARK)
        self.stack.append(self.memory[place] if found is _MARK else found)

    def reduce(self) -> None:
        named, arguments = self.last(2)
        self.stack.append(_made(named, arguments))

    def stand(self, consumed: int) -> None:
        """Something foreign in place of the topmost values."""
        if consumed:
            self.last(consumed)
        self.stack.append(_Stand())

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, str) and key in DROPPED:
                # The memory still holds it, so it is emptied, not only left out.
                if isinstance(value, dict | list):
                    value.clear()
            elif isinstance(target, dict):
                if key == ACCURACIES and isinstance(value, dict):
                    _keep_last(value)
                target[key] = value

    def append(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)


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
    """What a call of something foreign stands for: the few that hold numbers are understood."""
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


def _same(value: Any) -> Any:
    return value


_VALUES: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(["BINFLOAT", "FLOAT"], _same),
    **dict.fromkeys(["BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4"], _same),
    # The same few names come a hundred million times.
    **dict.fromkeys(["SHORT_BINUNICODE", "BINUNICODE", "UNICODE", "BINUNICODE8"], sys.intern),
    **dict.fromkeys(["STRING", "BINSTRING", "SHORT_BINSTRING"], _same),
    **dict.fromkeys(["BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"], _same),
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_DICT": lambda _: {},
    "EMPTY_LIST": lambda _: [],
    "EMPTY_TUPLE": lambda _: (),
    "EMPTY_SET": lambda _: _Stand(),
    "PERSID": lambda _: _Stand(),
    "MARK": lambda _: _MARK,
    "GLOBAL": lambda name: _Stand(str(name)),
}
_ACTIONS: dict[str, Callable[[_Machine, Any], object]] = {
    **dict.fromkeys(["PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"], _Machine.remember),
    **dict.fromkeys(["GET", "BINGET", "LONG_BINGET"], _Machine.recall),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.marked())),
    "TUPLE1": lambda m, _: m.stack.append(m.last(1)),
    "TUPLE2": lambda m, _: m.stack.append(m.last(2)),
    "TUPLE3": lambda m, _: m.stack.append(m.last(3)),
    "DICT": lambda m, _: m.stack.append(dict(zip(*[iter(m.marked())] * 2, strict=True))),
    "LIST": lambda m, _: m.stack.append(m.marked()),
    "FROZENSET": lambda m, _: m.stack.append(_Stand("", m.marked())),
    "SETITEM": lambda m, _: m.set_items(list(m.last(2))),
    "SETITEMS": lambda m, _: m.set_items(m.marked()),
    "APPEND": lambda m, _: m.append(list(m.last(1))),
    "APPENDS": lambda m, _: m.append(m.marked()),
    "ADDITEMS": lambda m, _: m.marked(),
    "STACK_GLOBAL": lambda m, _: m.stack.append(_Stand(" ".join(map(str, m.last(2))))),
    "REDUCE": lambda m, _: m.reduce(),
    "NEWOBJ": lambda m, _: m.stand(2),
    "NEWOBJ_EX": lambda m, _: m.stand(3),
    "BINPERSID": lambda m, _: m.stand(1),
    "BUILD": lambda m, _: m.last(1),
    "POP": lambda m, _: m.last(1),
    "POP_MARK": lambda m, _: m.marked(),
}
