"""Looks at the paths in a config before a run is made: a detached launcher returns at once.

The engine reads what is there, and says what is wrong inside; here only what is missing is told.
"""

import difflib
import os
from pathlib import Path

from darts_engine.run.errors import DataError, NotFoundError
from darts_engine.run.settings.config import Config, SearchConfig

# What the path of a data set's name must be.
FILES, FOLDERS, EITHER = ("npz", "npy"), ("folder", "imagenet", "penn", "wikitext2"), ("text",)
HAS_PATH = (*FILES, *FOLDERS, *EITHER)
# Kinds that are found elsewhere without a path.
ALONE = ("imagenet", "penn", "wikitext2")


def refuse_missing(chosen: Config) -> None:
    """Refuse a config that names files or folders which are not there.

    Args:
        chosen: with absolute paths.

    Raises:
        DataError: the data set, or its table of labels, is missing or is of the other kind.
        NotFoundError: another file or folder is missing.
    """
    kind, _, rest = chosen.data.dataset.partition(":")
    if kind in HAS_PATH and not (kind in ALONE and not rest):
        for path in rest.split(",") if kind == "npy" else [rest]:
            _refuse_data(kind, path)
    if labels := chosen.data.labels:
        if kind != "folder":
            raise DataError(f"{kind} takes no table of labels", where=f"--labels {labels}")
        if not os.path.isfile(labels):  # noqa: PTH113  a name may be too long for a path
            raise DataError("there is no such table of labels", where=labels, remedy=_near(labels))
    if isinstance(chosen, SearchConfig):
        for option, folder in (
            ("--tables", chosen.search.tables),
            ("--surrogate", chosen.search.surrogate),
        ):
            if folder and not os.path.exists(folder):  # noqa: PTH110  as above
                raise NotFoundError(f"{option}: there is nothing at this path", where=folder)


def _refuse_data(kind: str, path: str) -> None:
    if not path:
        raise DataError(f"{kind}: needs a path", remedy=f"write {kind}:PATH")
    if not os.path.exists(path):  # noqa: PTH110  as above
        raise DataError(f"{kind}: there is nothing at this path", where=path, remedy=_near(path))
    is_folder = os.path.isdir(path)  # noqa: PTH112
    if kind in FILES and is_folder:
        raise DataError(
            f"{kind}: the path is a folder", where=path, remedy="did you mean folder: ?"
        )
    if kind in FOLDERS and not is_folder:
        raise DataError(f"{kind}: the path is a file", where=path, remedy="did you mean npz: ?")
    if not os.access(path, os.R_OK):
        raise DataError(f"{kind}: you may not read it", where=path)


def _near(path: str) -> str:
    """A hint with the most similar name in the folder."""
    folder, name = Path(path).parent, Path(path).name
    try:
        beside = sorted(os.listdir(folder))
    except OSError:
        return f"there is no folder {folder}"
    near = difflib.get_close_matches(name, beside, 1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(beside[:8])}"[:300]
