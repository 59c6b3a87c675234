"""Reads pickles that hold plain values and arrays, without running anything that they ask for.

CIFAR's "python version" is a pickle. `pickle.load` would call whatever functions such a file names;
here its opcodes are read by an interpreter that knows the few which build numbers, text, lists,
dictionaries and NumPy arrays, and refuses every other. It never imports or calls what a file names.
"""

import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

# What a file may name, and what we make of it ourselves.
RECONSTRUCT = {
    "numpy.core.multiarray _reconstruct",
    "numpy._core.multiarray _reconstruct",
}
NDARRAY, DTYPE, ENCODE = "numpy ndarray", "numpy dtype", "_codecs encode"
TYPES = {"u1": np.uint8, "i4": np.int32, "i8": np.int64}

_MARK = object()


class PickleError(ValueError):
    """The file holds something else than plain values and arrays."""


class _Name:
    def __init__(self, name: str) -> None:
        if name not in {*RECONSTRUCT, NDARRAY, DTYPE, ENCODE}:
            raise PickleError(f"it asks for {name[:60]!r}, which is no part of a data set")
        self.name = name


class _Type:
    def __init__(self, code: object) -> None:
        code = _text(code).lstrip("|<")
        if code not in TYPES:
            raise PickleError(f"it has an array of type {code[:20]!r}")
        self.type = TYPES[code]


class _Array:
    value: np.ndarray | None = None

    def build(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise PickleError("an array has no state")
        _, shape, kind, is_fortran, raw = state
        raw = raw.encode("latin-1") if isinstance(raw, str) else raw
        if not isinstance(kind, _Type) or not isinstance(raw, bytes) or not _is_shape(shape):
            raise PickleError("an array's state makes no sense")
        flat = np.frombuffer(raw, kind.type)
        try:
            self.value = flat.reshape(shape, order="F" if is_fortran else "C")
        except ValueError as error:
            raise PickleError(f"an array does not have its size: {error}") from None


def loads(data: bytes) -> Any:
    """The value in a pickle; text of Python 2 becomes bytes, arrays are NumPy's.

    Raises:
        PickleError: it is damaged, or holds anything but plain values and arrays.
    """
    try:
        return _finished(_Machine().run(data))
    except PickleError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise PickleError(f"it is damaged: {str(error)[:80]}") from None


class _Machine:
    """The stack and the memory that the opcodes work on."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        for opcode, argument, _ in pickletools.genops(data):
            name = opcode.name
            if name == "STOP":
                return self.stack.pop()
            if name in _VALUES:
                self.stack.append(_VALUES[name](argument))
            elif name in _ACTIONS:
                _ACTIONS[name](self, argument)
            elif name not in ("PROTO", "FRAME"):
                raise PickleError(f"it uses the opcode {name}")
        raise PickleError("it has no end")

    def marked(self) -> list[Any]:
        """Everything above the last mark."""
        start = len(self.stack) - 1 - self.stack[::-1].index(_MARK)
        found = self.stack[start + 1 :]
        del self.stack[start:]
        return found

    def last(self, count: int) -> tuple[Any, ...]:
        """The topmost values, as a tuple."""
        found = tuple(self.stack[-count:])
        if len(found) != count:
            raise PickleError("it is damaged: nothing is left")
        del self.stack[-count:]
        return found

    def remember(self, place: int | None) -> None:
        self.memory[len(self.memory) if place is None else place] = self.stack[-1]

    def name(self, parts: tuple[Any, ...]) -> None:
        self.stack.append(_Name(" ".join(map(_text, parts))))

    def reduce(self) -> None:
        named, arguments = self.last(2)
        if not isinstance(named, _Name) or not isinstance(arguments, tuple):
            raise PickleError("it calls what is no function")
        if named.name in RECONSTRUCT:
            self.stack.append(_Array())
        elif named.name == DTYPE:
            self.stack.append(_Type(arguments[0]))
        elif named.name == ENCODE and all(isinstance(part, str) for part in arguments):
            # How Python 3 writes bytes for Python 2 to read.
            self.stack.append(arguments[0].encode("latin-1"))
        else:
            raise PickleError(f"it calls {named.name!r}")

    def build(self) -> None:
        (state,) = self.last(1)
        if isinstance(self.stack[-1], _Array):
            self.stack[-1].build(state)
        elif not isinstance(self.stack[-1], _Type):
            raise PickleError("it gives a state to what has none")

    def new_dict(self, items: list[Any]) -> None:
        self.stack.append({})
        self.set_items(items)

    def set_items(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise PickleError("it puts keys into what is no dictionary")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def append(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise PickleError("it appends to what is no list")
        self.stack[-1].extend(items)


def _same(value: Any) -> Any:
    return value


# Text of Python 2 has no encoding; pickletools shows its bytes as latin-1.
def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1")


_VALUES: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(["BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1"], _same),
    **dict.fromkeys(["UNICODE", "SHORT_BINUNICODE", "BINUNICODE"], _same),
    **dict.fromkeys(["BINBYTES", "SHORT_BINBYTES", "BINBYTES8"], _bytes),
    **dict.fromkeys(["STRING", "BINSTRING", "SHORT_BINSTRING"], _bytes),
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_DICT": lambda _: {},
    "EMPTY_LIST": lambda _: [],
    "EMPTY_TUPLE": lambda _: (),
    "MARK": lambda _: _MARK,
}
_ACTIONS: dict[str, Callable[[_Machine, Any], object]] = {
    **dict.fromkeys(["PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"], _Machine.remember),
    **dict.fromkeys(["GET", "BINGET", "LONG_BINGET"], lambda m, n: m.stack.append(m.memory[n])),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.marked())),
    "TUPLE1": lambda m, _: m.stack.append(m.last(1)),
    "TUPLE2": lambda m, _: m.stack.append(m.last(2)),
    "TUPLE3": lambda m, _: m.stack.append(m.last(3)),
    "DICT": lambda m, _: m.new_dict(m.marked()),
    "LIST": lambda m, _: m.stack.append(m.marked()),
    "SETITEM": lambda m, _: m.set_items(list(m.last(2))),
    "SETITEMS": lambda m, _: m.set_items(m.marked()),
    "APPEND": lambda m, _: m.append(list(m.last(1))),
    "APPENDS": lambda m, _: m.append(m.marked()),
    "GLOBAL": lambda m, name: m.name((name,)),
    "STACK_GLOBAL": lambda m, _: m.name(m.last(2)),
    "REDUCE": lambda m, _: m.reduce(),
    "BUILD": lambda m, _: m.build(),
}


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if not isinstance(value, str):
        raise PickleError("a name is no text")
    return value


def _is_shape(shape: object) -> bool:
    return isinstance(shape, tuple) and all(isinstance(n, int) and n >= 0 for n in shape)


def _finished(value: Any) -> Any:
    """The value with its arrays in place of what they were built in, two levels deep."""
    if isinstance(value, _Array):
        if value.value is None:
            raise PickleError("an array was never filled")
        return value.value
    if isinstance(value, dict):
        return {key: _finished(inner) for key, inner in value.items()}
    if isinstance(value, _Name | _Type):
        raise PickleError("it holds a name instead of a value")
    return value
