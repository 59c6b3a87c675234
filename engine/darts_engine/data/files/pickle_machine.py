"""Interprets pickle opcodes without importing or calling anything that a file names.

`pickle.load` calls whatever functions a file names. This machine knows only the opcodes in two
tables and refuses every other. `VALUES` and `ACTIONS` build plain values; a reader (`plain_pickle`,
`skimmed_pickle`) adds its own entries, which decide what becomes of names and calls.
"""

import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any

PROGRESS_EVERY = 1 << 20

MARK = object()


class PickleError(ValueError):
    """The file is damaged, no pickle, or holds what its reader refuses."""


Value = Callable[[Any], Any]
Action = Callable[["Machine", Any], object]


class Machine:
    """The stack and the memory that opcodes work on.

    Args:
        values: opcode -> function from the opcode's argument to the value that it pushes.
        actions: opcode -> function of the machine and the opcode's argument.
        progress: called every `PROGRESS_EVERY` opcodes; may raise to end the work.
    """

    def __init__(
        self,
        values: Mapping[str, Value],
        actions: Mapping[str, Action],
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        self._values, self._actions, self._progress = values, actions, progress
        self.stack: list[Any] = []
        # Places come in order; a list of a hundred million is a tenth of such a dictionary.
        self._memory: list[Any] = []
        self._elsewhere: dict[int, Any] = {}

    def run(self, source: bytes | IO[bytes]) -> Any:
        """The value of the next pickle in `source`.

        Raises:
            PickleError: an opcode is in no table, or the pickle has no end.
        """
        for count, (opcode, argument, _) in enumerate(pickletools.genops(source)):
            name = opcode.name
            if count % PROGRESS_EVERY == 0:
                self._progress()
            if name in self._values:
                self.stack.append(self._values[name](argument))
            elif name in self._actions:
                self._actions[name](self, argument)
            elif name == "STOP":
                return self.stack.pop()
            elif name not in ("PROTO", "FRAME"):
                raise PickleError(f"it uses the opcode {name}")
        raise PickleError("it has no end")

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def marked(self) -> list[Any]:
        """Take everything above the last mark off the stack, and the mark."""
        start = len(self.stack) - 1
        while start >= 0 and self.stack[start] is not MARK:
            start -= 1
        if start < 0:
            raise PickleError("it is damaged: a mark is missing")
        found = self.stack[start + 1 :]
        del self.stack[start:]
        return found

    def last(self, count: int) -> tuple[Any, ...]:
        """Take the topmost values off the stack."""
        found = tuple(self.stack[-count:])
        if len(found) != count:
            raise PickleError("it is damaged: nothing is left")
        del self.stack[-count:]
        return found

    def remember(self, place: int | None) -> None:
        """Copy the topmost value to a place in memory; None is the next one."""
        if place is None or place == len(self._memory):
            self._memory.append(self.stack[-1])
        else:
            self._elsewhere[place] = self.stack[-1]

    def recall(self, place: int) -> None:
        """Push the value at a place in memory."""
        found = self._elsewhere.get(place, MARK)
        self.stack.append(self._memory[place] if found is MARK else found)


def same(value: Any) -> Any:
    """The value itself."""
    return value


VALUES: dict[str, Value] = {
    **dict.fromkeys(["BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1"], same),
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_DICT": lambda _: {},
    "EMPTY_LIST": lambda _: [],
    "EMPTY_TUPLE": lambda _: (),
    "MARK": lambda _: MARK,
}
ACTIONS: dict[str, Action] = {
    **dict.fromkeys(["PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"], Machine.remember),
    **dict.fromkeys(["GET", "BINGET", "LONG_BINGET"], Machine.recall),
    "TUPLE": lambda m, _: m.push(tuple(m.marked())),
    "TUPLE1": lambda m, _: m.push(m.last(1)),
    "TUPLE2": lambda m, _: m.push(m.last(2)),
    "TUPLE3": lambda m, _: m.push(m.last(3)),
    "LIST": lambda m, _: m.push(m.marked()),
}
