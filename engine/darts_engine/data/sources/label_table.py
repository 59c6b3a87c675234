"""`--labels FILE.csv`: a table that names the images of a flat folder and their labels.

The first line has the names of the columns. With two columns, the first is the file and the second
the label; with more, they are known by their names. A column of parts (train, val, test) is used.
"""

import csv
import os
from pathlib import Path

from darts_engine.data.dataset import SPLIT_OFF
from darts_engine.data.sources.listing import SUFFIXES, Found, Listing, part_of
from darts_engine.data.watch import Watch
from darts_engine.run.errors import DataError

FILE = ("file", "filename", "file_name", "image", "image_id", "image_name", "id", "path", "name",
        "img")  # fmt: skip
LABEL = ("label", "labels", "class", "class_name", "category", "target", "y", "breed", "diagnosis",
         "species")  # fmt: skip
PART = ("split", "part", "set", "subset", "partition", "dataset")
MOST_BYTES = 1 << 30


def listed(root: Path, table: Path, watch: Watch) -> Found:
    """The images of a folder by a table.

    Raises:
        DataError: the table cannot be read, names no such images, or contradicts itself; names the
            line.
    """
    rows = _rows(table)
    files: dict[str, tuple[str, str]] = {}
    missing: list[tuple[int, str]] = []
    for line, name, label, part in rows:
        path = _path(root, name)
        if not path:
            missing.append((line, name))
        elif files.setdefault(path, (label, part)) != (label, part):
            raise DataError(
                f"{name} has two labels: {files[path][0]!r}, and {label!r} in line {line}",
                where=str(table),
            )
    if missing:
        line, name = missing[0]
        raise DataError(
            f"{len(missing):,} of {len(rows):,} images are not there, as {name!r} in line {line}",
            where=str(root),
            remedy=f"the names in {table.name} are taken as paths below this folder",
        )
    classes = sorted({label for label, part in files.values() if part == "train"})
    places = {name: place for place, name in enumerate(classes)}
    parts: dict[str, Listing] = {}
    for path in sorted(files):
        label, part = files[path]
        if label not in places:
            raise DataError(
                f"class {label!r} is in the {part} part but not in the training part",
                where=str(table),
            )
        listing = parts.setdefault(part, Listing())
        listing.files.append(path)
        listing.labels.append(places[label])
    _report_others(root, files, watch)
    origins = {part: f"by {table.name}" for part in parts if part != "train"}
    if set(parts) == {"train"}:
        origins = {"test": SPLIT_OFF}
    order = [part for part in ("train", "valid", "test") if part in parts]
    return Found(classes, {part: parts[part] for part in order}, origins)


def _rows(table: Path) -> list[tuple[int, str, str, str]]:
    """(line, file, label, part) of every row."""
    try:
        if table.stat().st_size > MOST_BYTES:
            raise DataError("the table of labels has more than 1 GiB", where=str(table))
        with table.open(encoding="utf-8-sig", newline="") as text:
            sample = text.read(4096)
            text.seek(0)
            comma = max(",;\t", key=sample.split("\n", 1)[0].count)
            reader = csv.reader(text, delimiter=comma)
            header = [name.strip().lower() for name in next(reader, [])]
            columns = _columns(header, table)
            rows = []
            for row in reader:
                if not any(cell.strip() for cell in row):
                    continue
                if len(row) != len(header):
                    raise DataError(
                        f"line {reader.line_num} has {len(row)} columns, the first {len(header)}",
                        where=str(table),
                    )
                name, label = (row[column].strip() for column in columns[:2])
                if not name or not label:
                    raise DataError(
                        f"line {reader.line_num} has no {'label' if name else 'file'}",
                        where=str(table),
                    )
                part = "train"
                if len(columns) == 3:
                    part = part_of(row[columns[2]].strip())
                    if not part:
                        raise DataError(
                            f"line {reader.line_num} has the part {row[columns[2]].strip()[:40]!r}",
                            where=str(table),
                            remedy="use train, val or test",
                        )
                rows.append((reader.line_num, name, label, part))
    except OSError as error:
        raise DataError(
            f"the table of labels cannot be read: {error.strerror}", where=str(table)
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"the table of labels is no CSV in UTF-8: {str(error)[:80]}", where=str(table)
        ) from None
    if not any(part == "train" for *_, part in rows):
        raise DataError("the table of labels names no training image", where=str(table))
    return rows


def _columns(header: list[str], table: Path) -> list[int]:
    """The columns of file and label, and that of the part if there is one."""
    part = [place for place, name in enumerate(header) if name in PART]
    rest = [place for place in range(len(header)) if place not in part]
    if len(rest) == 2:
        swapped = header[rest[0]] in LABEL and header[rest[1]] in FILE
        return [*(reversed(rest) if swapped else rest), *part[:1]]
    file = [place for place in rest if header[place] in FILE]
    label = [place for place in rest if header[place] in LABEL]
    if len(file) != 1 or len(label) != 1:
        raise DataError(
            f"the columns of files and labels are not plain: {', '.join(header)[:120]}",
            where=str(table),
            remedy="the first line needs 'file' and 'label', or two columns in that order",
        )
    return [*file, *label, *part[:1]]


def _path(root: Path, name: str) -> str:
    """The file of a name below the folder, with or without its ending; empty if there is none."""
    path = os.path.normpath(os.path.join(root, name))  # noqa: PTH118
    if not path.startswith(os.path.join(os.path.normpath(root), "")):  # noqa: PTH118
        return ""
    for ending in ("", *sorted(SUFFIXES)):
        if os.path.isfile(path + ending):  # noqa: PTH113
            return path + ending
    return ""


def _report_others(root: Path, known: dict[str, tuple[str, str]], watch: Watch) -> None:
    others = [
        entry.name
        for entry in os.scandir(root)
        if os.path.splitext(entry.name)[1].lower() in SUFFIXES  # noqa: PTH122
        and not entry.name.startswith(".")
        and os.path.normpath(entry.path) not in known
    ]
    if others:
        what = f"{len(others):,} images have" if len(others) > 1 else "1 image has"
        watch.note(f"{root.name}: {what} no label and are not read, as {min(others)}", "warning")
