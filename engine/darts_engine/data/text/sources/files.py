"""`text:FOLDER` with train.txt, valid.txt and test.txt; or `text:FILE`, which is split by lines."""

import difflib
from pathlib import Path

from darts_engine.data.dataset import existing
from darts_engine.data.text.plain_file import pieces
from darts_engine.data.text.source import PARTS, Request, Text
from darts_engine.run.errors import DataError

# Of a single file, the first 80 % of its lines are for training, the next 10 % for validation and
# the last 10 % for the test: a text goes on, so no part is in the middle of another.
TRAIN, VALID = 0.8, 0.9
NAMES = "train.txt, valid.txt and test.txt"


def load(request: Request) -> Text:
    """The text of a folder or of a file.

    Raises:
        DataError: a file is missing, or has fewer than three lines to split.
    """
    path = existing(request.rest, "text")
    if not path.is_dir():
        return Text(str(path), *_split(path))
    files = [path / f"{part}.txt" for part in PARTS]
    _refuse_missing(path, files)
    train, valid, test = map(pieces, files)
    return Text(str(path), train, valid, test)


def _refuse_missing(folder: Path, files: list[Path]) -> None:
    """One part is never meant by the name of another, so only other files are suggested."""
    beside = [entry.name for entry in folder.iterdir() if entry not in files]
    for file in files:
        if not file.exists():
            near = difflib.get_close_matches(file.name, beside, 1)
            raise DataError(
                "text: there is nothing at this path",
                where=str(file),
                remedy=f"did you mean {near[0]!r}?" if near else f"a folder has {NAMES}",
            )


def _split(path: Path) -> tuple[str, str, str]:
    lines = "".join(pieces(path)).removesuffix("\n").split("\n")
    if len(lines) < len(PARTS):
        raise DataError(
            f"{len(lines)} lines cannot be split into train, valid and test",
            where=str(path),
            remedy=f"give it lines, or name a folder with {NAMES}",
        )
    # Every part has a line at least.
    first = min(max(1, int(TRAIN * len(lines))), len(lines) - 2)
    second = min(max(first + 1, int(VALID * len(lines))), len(lines) - 1)
    return "\n".join(lines[:first]), "\n".join(lines[first:second]), "\n".join(lines[second:])
