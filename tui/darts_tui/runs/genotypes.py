"""Finds the genotype that a user names: by run, published name, file, or its own text.

No text is evaluated as Python; `darts_engine.run.architecture.text` reads it.
"""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.architecture.text import Reading, published, read
from darts_engine.run.errors import ConfigError, GenotypeError, NotFoundError, UnsafeFileError
from darts_engine.run.folder import LATEST, NAME_PATTERN, RunFolder, find, is_run, list_runs
from darts_engine.run.settings import config
from darts_tui.runs.files import STDIN, as_text, is_file, read_bytes
from darts_tui.runs.outcome import outcome

RUN_PREFIX = "run:"
# How a genotype's own text begins, or what it has in it.
_TEXT = re.compile(r"[\s`'\"]*(?:[{|\[]|naslib\b|autodl\b)|.*[(\n]", re.IGNORECASE | re.DOTALL)


class Named(NamedTuple):
    """A genotype with a short name for headings and file names, and a note on where it stood."""

    name: str
    genotype: Genotype
    note: str = ""


def resolve(text: str, runs: Path, operations: Mapping[str, str] | None = None) -> Genotype:
    """The genotype that `text` stands for.

    Args:
        text: `run:NAME`, `run:latest` (the newest search that has derived one), a published name,
            the path of a file, `FILE:NAME` for one of a Python file's, `-` for standard input, or
            the genotype itself in any form.
        runs: the folder of runs.
        operations: known names of operations by those that the text has.

    Raises:
        NotFoundError: nothing has this name.
        GenotypeError: what was found is not a genotype.
    """
    return named(text, runs, operations).genotype


def named(text: str, runs: Path, operations: Mapping[str, str] | None = None) -> Named:
    """As `resolve`, with a name: the run's, the published one, the file's stem, or "genotype"."""
    text = text.strip()
    if text.startswith(RUN_PREFIX):
        return of_run(text.removeprefix(RUN_PREFIX), runs)
    known = published()
    if text in known:
        return Named(text, known[text].genotype)
    if text == STDIN:
        return Named("genotype", *_of_file(Path(STDIN), operations))
    path = Path(text).expanduser()
    if is_file(path):
        return Named(path.stem, *_of_file(path, operations))
    before, colon, name = text.rpartition(":")
    file = Path(before).expanduser()
    if colon and name.isidentifier() and is_file(file):
        return Named(name, *_of_file(file, operations, name))
    if _TEXT.match(text):
        return Named("genotype", *read(text, operations))
    raise _unknown(text, runs, list(known))


def _of_file(path: Path, operations: Mapping[str, str] | None, name: str = "") -> Reading:
    """The genotype in a file.

    Raises:
        NotFoundError: the file cannot be read, or has no such name.
        GenotypeError: it holds no genotype, or several.
    """
    try:
        return read(as_text(read_bytes(path), str(path)), operations, name)
    except GenotypeError as error:
        if str(path) in error.where:
            raise
        where = f"{path}, {error.where}" if error.where else str(path)
        raise GenotypeError(error.what, where=where[:300], remedy=error.remedy) from None


def of_run(reference: str, runs: Path) -> Named:
    """The genotype that a run ended with or derived last.

    Raises:
        NotFoundError: there is no such run, or it has no genotype yet.
    """
    if reference != LATEST:
        folder = find(runs, reference)
        genotype = outcome(folder).final_genotype()
        if genotype is None and not _is_search(folder):
            raise NotFoundError(
                f"the network of {folder.name} has no genotype",
                where=str(folder.path),
                remedy="name a search, or a training of a derived network",
            )
        if genotype is None:
            raise NotFoundError(
                f"{folder.name} has no genotype yet",
                where=str(folder.path),
                remedy="a search derives its first one within the first epoch",
            )
        return Named(folder.name, genotype)
    refused: UnsafeFileError | None = None
    for folder in list_runs(runs):
        try:
            if _is_search(folder) and (genotype := outcome(folder).final_genotype()):
                return Named(folder.name, genotype)
        except UnsafeFileError as error:
            # Someone else's run must not end the search for one's own.
            refused = refused or error
    if refused is not None:
        raise refused
    raise NotFoundError(
        "no search has found a genotype yet",
        where=str(runs),
        remedy="run 'darts-tui search' first, or name one: --genotype DARTS_V2",
    )


def _is_search(folder: RunFolder) -> bool:
    try:
        # Unchecked: a genotype is whole even where a package that the search used is gone.
        return bool(config.decode(folder.config_text()).get("kind", "search") == "search")
    except ConfigError:
        return False


def _unknown(text: str, runs: Path, known: list[str]) -> NotFoundError:
    if NAME_PATTERN.match(text) and is_run(runs / text):
        remedy = f"the run of that name is meant by '{RUN_PREFIX}{text}'"
    else:
        near = difflib.get_close_matches(text, known, 1)
        remedy = f"did you mean {near[0]!r}? " if near else ""
        remedy += f"Use {RUN_PREFIX}NAME, a file, genotype text, or one of {', '.join(known)}"
    return NotFoundError(f"there is no genotype {text[:60]!r}", remedy=remedy)
