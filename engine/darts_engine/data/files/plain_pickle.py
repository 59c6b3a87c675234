"""Reads pickles that hold plain values and arrays, without running anything that they name.

CIFAR's "python version" is a pickle. Its opcodes are read by `pickle_machine`; beyond plain values
only what builds NumPy arrays is understood, and everything else is refused.
"""

from typing import Any

import numpy as np

from darts_engine.data.files.pickle_machine import (
    ACTIONS,
    VALUES,
    Action,
    Machine,
    PickleError,
    Value,
    same,
)

# The only names that a file may hold. None is imported: what they stand for is built here.
RECONSTRUCT = {
    "numpy.core.multiarray _reconstruct",
    "numpy._core.multiarray _reconstruct",
}
NDARRAY, DTYPE, ENCODE = "numpy ndarray", "numpy dtype", "_codecs encode"
TYPES = {"u1": np.uint8, "i4": np.int32, "i8": np.int64}


class _Name:
    """A function or class that the file names."""

    def __init__(self, name: str) -> None:
        if name not in {*RECONSTRUCT, NDARRAY, DTYPE, ENCODE}:
            raise PickleError(f"it asks for {name[:60]!r}, which is no part of a data set")
        self.name = name


class _Type:
    """The element type of an array."""

    def __init__(self, code: object) -> None:
        code = _text(code).lstrip("|<")
        if code not in TYPES:
            raise PickleError(f"it has an array of type {code[:20]!r}")
        self.type = TYPES[code]


class _Array:
    """An array, empty until its state follows."""

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
        return _finished(Machine(_VALUES, _ACTIONS).run(data))
    except PickleError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise PickleError(f"it is damaged: {str(error)[:80]}") from None


def _name(machine: Machine, parts: tuple[Any, ...]) -> None:
    machine.push(_Name(" ".join(map(_text, parts))))


def _reduce(machine: Machine) -> None:
    named, arguments = machine.last(2)
    if not isinstance(named, _Name) or not isinstance(arguments, tuple):
        raise PickleError("it calls what is no function")
    if named.name in RECONSTRUCT:
        machine.push(_Array())
    elif named.name == DTYPE:
        machine.push(_Type(arguments[0]))
    elif named.name == ENCODE and all(isinstance(part, str) for part in arguments):
        # How Python 3 writes bytes for Python 2 to read.
        machine.push(arguments[0].encode("latin-1"))
    else:
        raise PickleError(f"it calls {named.name!r}")


def _build(machine: Machine) -> None:
    (state,) = machine.last(1)
    target = machine.stack[-1]
    if isinstance(target, _Array):
        target.build(state)
    elif not isinstance(target, _Type):
        raise PickleError("it gives a state to what has none")


def _new_dict(machine: Machine, items: list[Any]) -> None:
    machine.push({})
    _set_items(machine, items)


def _set_items(machine: Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if not isinstance(target, dict):
        raise PickleError("it puts keys into what is no dictionary")
    target.update(zip(items[::2], items[1::2], strict=True))


def _append(machine: Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if not isinstance(target, list):
        raise PickleError("it appends to what is no list")
    target.extend(items)


# Text of Python 2 has no encoding; pickletools shows its bytes as latin-1.
def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1")


_VALUES: dict[str, Value] = {
    **VALUES,
    **dict.fromkeys(["UNICODE", "SHORT_BINUNICODE", "BINUNICODE"], same),
    **dict.fromkeys(["BINBYTES", "SHORT_BINBYTES", "BINBYTES8"], _bytes),
    **dict.fromkeys(["STRING", "BINSTRING", "SHORT_BINSTRING"], _bytes),
}
_ACTIONS: dict[str, Action] = {
    **ACTIONS,
    "DICT": lambda m, _: _new_dict(m, m.marked()),
    "SETITEM": lambda m, _: _set_items(m, list(m.last(2))),
    "SETITEMS": lambda m, _: _set_items(m, m.marked()),
    "APPEND": lambda m, _: _append(m, list(m.last(1))),
    "APPENDS": lambda m, _: _append(m, m.marked()),
    "GLOBAL": lambda m, name: _name(m, (name,)),
    "STACK_GLOBAL": lambda m, _: _name(m, m.last(2)),
    "REDUCE": lambda m, _: _reduce(m),
    "BUILD": lambda m, _: _build(m),
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
