"""Lists the images of a folder: its parts, its classes, and what in it is none of the set's images.

People's folders have parts in any case and by several names, stale copies in hidden folders, and
what other programs leave behind. Nothing of that becomes an image without a word.
"""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from darts_engine.data.dataset import SPLIT_OFF, nearest
from darts_engine.data.watch import Watch
from darts_engine.run.errors import DataError

SUFFIXES = {
    *(".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"),
    *(".tif", ".tiff", ".webp"),
}
# Names of parts, in lower case, with blanks and hyphens as underscores.
PARTS = {
    "train": ("train", "training", "train_set", "training_set", "train_data", "training_data"),
    "valid": ("val", "valid", "validation", "dev", "val_set", "valid_set", "validation_set",
              "validation_data"),
    "test": ("test", "testing", "test_set", "testing_set", "test_data"),
}  # fmt: skip
# Folders that programs leave behind. So are those whose name begins with a dot.
FOREIGN = ("__macosx", "__pycache__", "@eadir", "$recycle.bin", "system volume information",
           "lost+found")  # fmt: skip
MOST_NAMED = 3


@dataclass
class Listing:
    """The images of a part: `files`, as text because a million `Path` objects are slow."""

    files: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)


@dataclass
class Found:
    """What a folder holds.

    Attributes:
        classes: their names, in label order.
        parts: "train", and "valid" and "test" where they are there.
        origins: as in `Dataset`.
    """

    classes: list[str]
    parts: dict[str, Listing]
    origins: dict[str, str]


@dataclass
class _Left:
    """What is left out, to be told in one line."""

    images: int = 0
    folders: dict[str, None] = field(default_factory=dict)
    first: str = ""
    links: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    endings: Counter[str] = field(default_factory=Counter)
    beside: list[str] = field(default_factory=list)
    unlabelled: str = ""

    def add_folder(self, path: str) -> None:
        """A hidden folder, or one of another program, with all images in it."""
        if path in self.folders:
            return
        self.folders[path] = None
        self.first = self.first or path
        for _, _, names in os.walk(path):
            self.images += sum(map(_is_image, names))

    def add_image(self, path: str) -> None:
        """A hidden image."""
        self.images += 1
        self.first = self.first or path

    def report(self, root: Path, watch: Watch) -> None:
        """Report what is left out."""
        if self.first:
            counts = {"hidden image": self.images, "hidden folder": len(self.folders)}
            what = " and ".join(
                f"{count:,} {word}{'s' if count > 1 else ''}"
                for word, count in counts.items()
                if count
            )
            where = os.path.relpath(self.first, root)
            watch.note(f"{root.name}: skipped {what}, as {where}")
        if self.endings:
            shown = ", ".join(sorted(self.endings)[:MOST_NAMED])
            count = self.endings.total()
            files = f"{count:,} files that are" if count > 1 else "1 file that is"
            watch.note(f"{root.name}: skipped {files} no image by the ending ({shown})")
        for found, why in (
            (self.links, "a link inside a class, which is not followed"),
            (self.outside, "in no class folder"),
        ):
            if found:
                many = f"{len(found):,} are, as " if len(found) > 1 else ""
                where = os.path.relpath(found[0], root)
                watch.note(f"{root.name}: not read, {why}: {many}{where}", "warning")
        if self.unlabelled:
            what = f"{self.unlabelled}/ has no class folders, so no labels, and is not read"
            watch.note(f"{root.name}: {what}", "warning")
        if self.beside:
            shown = ", ".join(self.beside[:MOST_NAMED])
            watch.note(f"{root.name}: {shown} beside the parts is not read", "warning")


def listed(root: Path, watch: Watch) -> Found:
    """The images of DIR/CLASS/IMAGE, or of DIR/PART/CLASS/IMAGE with parts of any usual name.

    Raises:
        DataError: the layout is neither, a class has no training image, or a part has classes
            that the training part lacks.
    """
    left = _Left()
    folders = _parts(root, left)
    if "train" not in folders:
        classes = _classes(root, left)
        _refuse_wrapped(root, classes)
        found = Found(classes, {"train": _listing(root, classes, left)}, {})
    else:
        classes = _classes(folders["train"], left)
        found = Found(classes, {}, {})
        for part, folder in folders.items():
            unknown = set(_classes(folder, left)) - set(classes) if part != "train" else ()
            if unknown:
                name = sorted(unknown)[0]
                raise DataError(
                    f"class {name!r} is in {folder.name}/ but not in {folders['train'].name}/",
                    where=str(folder),
                    remedy=nearest(name, classes),
                )
            found.parts[part] = _listing(folder, classes, left, may_lack=part != "train")
            if folder.name != part:
                found.origins[part] = f"from {folder.name}/"
    _warn_of_twins(root, classes, watch)
    for part, listing in found.parts.items():
        if not listing.files:
            raise DataError("the folder has no images", where=str(folders.get(part, root)))
    if len(found.parts) == 1:
        found.origins["test"] = SPLIT_OFF
    left.report(root, watch)
    return found


def _refuse_wrapped(root: Path, classes: list[str]) -> None:
    """Refuse a folder whose one folder holds the parts, as archives are often unpacked."""
    inner = root / classes[0]
    if len(classes) == 1 and any(part_of(path.name) == "train" for path in _folders(inner, None)):
        raise DataError(
            f"the parts are one folder deeper, in {classes[0]}/",
            where=str(root),
            remedy=f"did you mean folder:{inner} ?",
        )


def _warn_of_twins(root: Path, classes: list[str], watch: Watch) -> None:
    lower = Counter(name.lower() for name in classes)
    twins = [name for name in classes if lower[name.lower()] > 1]
    if twins:
        what = " and ".join(twins[:MOST_NAMED])
        watch.note(f"{root.name}: the classes {what} differ in upper case only", "warning")


def part_of(name: str) -> str:
    """The part that a name stands for, as "valid" for "Validation"; empty for other names."""
    plain = name.lower().replace("-", "_").replace(" ", "_")
    return next((part for part, names in PARTS.items() if plain in names), "")


def _parts(root: Path, left: _Left) -> dict[str, Path]:
    """The folders of the parts, the training part first; empty where DIR has the classes itself."""
    named: dict[str, list[Path]] = {}
    for folder in _folders(root, left):
        named.setdefault(part_of(folder.name), []).append(folder)
    others = named.pop("", [])
    if not named:
        return {}
    # A class may be called train, as one of vehicles: it has images, no folders.
    inside = {path: bool(_folders(path, None)) for paths in named.values() for path in paths}
    if not any(inside.values()) and others and len(inside) == 1:
        return {}
    for part, paths in named.items():
        if len(paths) > 1:
            both = " and ".join(f"{path.name}/" for path in paths)
            raise DataError(
                f"{both} are both for {_WORDS[part]}",
                where=str(root),
                remedy="keep one of them there",
            )
    for path, has_classes in inside.items():
        if not has_classes and part_of(path.name) == "test" and "train" in named:
            # As competitions give them out: without labels.
            left.unlabelled = path.name
            del named["test"]
        elif not has_classes:
            raise DataError(
                f"{path.name}/ has no class folders",
                where=str(path),
                remedy=f"expected {path.name}/CLASS/IMAGE, or a table: --labels labels.csv",
            )
    if "train" not in named:
        there = ", ".join(f"{path.name}/" for path in inside)
        raise DataError(
            f"there is no training part beside {there}",
            where=str(root),
            remedy="expected train/CLASS/IMAGE",
        )
    left.beside = [f"{path.name}/" for path in others]
    return {part: named[part][0] for part in PARTS if part in named}


_WORDS = {"train": "training", "valid": "validation", "test": "the test"}


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122


def _is_foreign(name: str) -> bool:
    return name.startswith(".") or name.lower() in FOREIGN


def _folders(root: Path, left: _Left | None) -> list[Path]:
    """The folders in a folder, without hidden ones and those of other programs."""
    try:
        inside = sorted(path for path in root.iterdir() if path.is_dir())
    except OSError as error:
        raise _unreadable(error, root) from None
    for path in inside:
        if left is not None and _is_foreign(path.name):
            left.add_folder(str(path))
    return [path for path in inside if not _is_foreign(path.name)]


def _classes(root: Path, left: _Left) -> list[str]:
    classes = [path.name for path in _folders(root, left)]
    left.outside += [
        str(path)
        for path in root.iterdir()
        if _is_image(path.name) and not path.name.startswith(".") and path.is_file()
    ]
    if not classes:
        raise DataError(
            "the folder has no class folders",
            where=str(root),
            remedy="expected DIR/CLASS/IMAGE, or a table of labels: --labels labels.csv",
        )
    return classes


def _listing(root: Path, classes: list[str], left: _Left, *, may_lack: bool = False) -> Listing:
    found = Listing()
    for label, name in enumerate(classes):
        there = not may_lack or (root / name).is_dir()
        files = _files(root / name, left) if there else []
        if not files and not may_lack:
            raise no_images(root, name)
        found.files += files
        found.labels += [label] * len(files)
    return found


def _files(root: Path, left: _Left) -> list[str]:
    """The image files of a class, at any depth."""
    found: list[str] = []

    def fail(error: OSError) -> None:
        raise _unreadable(error, root)

    for folder, inside, names in os.walk(root, onerror=fail):
        for name in [name for name in inside if _is_foreign(name)]:
            left.add_folder(os.path.join(folder, name))  # noqa: PTH118
            inside.remove(name)
        for name in inside:
            path = os.path.join(folder, name)  # noqa: PTH118
            if os.path.islink(path):  # noqa: PTH114
                left.links.append(path)
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118
            if not _is_image(name):
                if not name.startswith("."):
                    left.endings[os.path.splitext(name)[1].lower() or name] += 1  # noqa: PTH122
            elif name.startswith("."):
                left.add_image(path)
            else:
                found.append(path)
    return sorted(found)


def no_images(root: Path, name: str) -> DataError:
    """The error for a class without images."""
    return DataError(
        f"class {name!r} has no images",
        where=str(root / name),
        remedy=f"known endings: {' '.join(sorted(SUFFIXES))}",
    )


def _unreadable(error: OSError, root: Path) -> DataError:
    return DataError(
        f"the folder cannot be read: {error.strerror}", where=str(error.filename or root)
    )
