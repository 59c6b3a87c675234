"""A file of a user's own names for operations: `--operations FILE.toml`."""

import tomllib
from pathlib import Path

from darts_engine.run.architecture.operations import KNOWN, nearest
from darts_engine.run.errors import ConfigError, NotFoundError

MAX_BYTES = 100_000
EXAMPLE = 'expected lines such as dil_conv_3 = "dil_conv_3x3"'


def read_operations(path: Path | None) -> dict[str, str]:
    """Known names of operations by the file's own; empty without a file.

    Raises:
        NotFoundError: the file cannot be read.
        ConfigError: it is no TOML, or a name in it is of no known operation.
    """
    if path is None:
        return {}
    try:
        with path.expanduser().open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise NotFoundError(f"the file cannot be read: {error.strerror}", where=str(path)) from None
    try:
        if len(content) > MAX_BYTES:
            raise ConfigError(f"the file is larger than {MAX_BYTES} bytes", where=str(path))
        # As Windows' tools write it.
        is_wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        table = tomllib.loads(content.decode("utf-16" if is_wide else "utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"the names of operations are not TOML: {error}", where=str(path), remedy=EXAMPLE
        ) from None
    for theirs, ours in table.items():
        if not isinstance(ours, str):
            raise ConfigError(
                f"{theirs[:40]} is no name of an operation", where=str(path), remedy=EXAMPLE
            )
        if ours not in KNOWN:
            raise ConfigError(
                f"there is no operation {ours[:40]!r}",
                where=f"{path}, {theirs[:40]}",
                remedy=f"the nearest is {nearest(ours, KNOWN)!r}; there are {', '.join(KNOWN)}",
            )
    return table
