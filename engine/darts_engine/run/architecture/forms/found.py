"""Finds written genotypes in any text: a log, a Python file, a page of notes.

A text is never run. A Python file's names are found line by line, and what is assigned to one is
read as a text of its own.
"""

import re
from typing import NamedTuple

from darts_engine.run.architecture.forms.literal import MAX_TEXT, end_of
from darts_engine.run.architecture.forms.nasbench201 import TEXT as TEXT_201
from darts_engine.run.errors import GenotypeError, NotFoundError

# So many places are tried, from the end; each is looked at once.
MAX_TRIES = 200
MAX_NAMES = 1000
_CALL = re.compile(r"Genotype[ \t]*\(")
_TABLE = re.compile(
    r"\{(?:\s{1,200}+|#[^\n]{0,200}\n){0,9}+['\"](?:normal|reduce|recurrent)['\"]\s{0,20}:"
)
_ORDERED = re.compile(r"OrderedDict\(\[\(['\"](?:normal|reduce|recurrent)['\"],")
_BEFORE = re.compile(r"(?:(?<![\w.])|^)(?:[A-Za-z_]\w{0,39}\.){0,4}(?:DARTS|Darts)?\Z")
_DEFINITION = re.compile(r"\b(?:class|def)\s+\Z")
# What makes another value of a call: an attribute, an index, an operator, a second statement.
_GOES_ON = re.compile(
    r"\s{0,200}\.[ \t]{0,9}[A-Za-z_]\w*[ \t]*\(|\.[A-Za-z_]|[\[(]|[ \t]*(?:[+*/%@&^]|==)"
    r"|[ \t]*;[ \t]*[^\s;]|[ \t]+(?:if\b[^\n]*\belse|or|and)\b"
)
_ASSIGNED = re.compile(
    r"^[ \t]{0,20}([A-Za-z_]\w{0,79})[ \t]{0,20}(?::[^=\n]{0,80})?=(?!=)[ \t]{0,20}"
    r"(?:[A-Za-z_]\w{0,79}[ \t]{0,20}=(?!=)[ \t]{0,20}){0,3}(?:\\\n[ \t]{0,20})?",
    re.MULTILINE,
)
_CELL = re.compile(r"(?:[A-Za-z_]\w{0,39}\.){0,4}(?:DARTS|Darts)?Genotype[ \t]*\(")
_ALIAS = re.compile(r"([A-Za-z_]\w{0,79})[ \t]*(?:#[^\n]*)?(?=\n|\Z)")
_OPENING = re.compile(r"(?:[A-Za-z_][\w.]{0,80}[ \t]*)?([(\[{])")
_QUOTED = re.compile(r"(['\"])([^'\"\\\n]{1,4000})\1")


class Passage(NamedTuple):
    """A piece of a text that looks like a genotype; `line` counts from 1."""

    text: str
    line: int
    start: int
    is_complete: bool = True


def starts(text: str) -> list[int]:
    """Where pieces of a text begin that may be genotypes; only the last thousand are looked at."""
    forms = (_TABLE, _ORDERED, TEXT_201)
    found = {match.start() for form in forms for match in form.finditer(text)}
    calls = [match.start() for match in _CALL.finditer(text)]
    found.update(calls[:-MAX_NAMES])
    for start in calls[-MAX_NAMES:]:
        before = text[max(0, start - 200) : start]
        called = _BEFORE.search(before)
        if called and not _DEFINITION.search(before[: called.start()]):
            found.add(start)
    # What is commented out was given up, unless there is nothing else.
    places = sorted(found)
    return [start for start in places if not _is_comment(text, start)] or places


def _is_comment(text: str, start: int) -> bool:
    begin = max(text.rfind("\n", max(0, start - 400), start) + 1, start - 400)
    return text[begin:start].lstrip().startswith("#")


def passage(text: str, start: int) -> Passage:
    """The piece that begins at one of `starts`, to the end of its brackets or its cell.

    Raises:
        GenotypeError: something follows that makes another value of it.
    """
    line = text.count("\n", 0, start) + 1
    if text[start] == "|":
        match = TEXT_201.match(text, start)
        assert match is not None
        return Passage(match[0][: match[0].rindex("|") + 1], line, start)
    opening = text.index("{" if text[start] == "{" else "(", start)
    end = end_of(text, opening)
    if end is None:
        return Passage(text[start : start + 60], line, start, is_complete=False)
    if text[start] == "G" and _GOES_ON.match(text, end):
        raise GenotypeError(
            "something follows the genotype that makes another value of it",
            where=f"line {line}: {text[end : end + 60]}",
        )
    return Passage(text[start:end], line, start)


def names(text: str) -> list[str]:
    """The names that a Python file gives to genotypes, or to others of these names."""
    found: dict[str, None] = {}
    for count, match in enumerate(_ASSIGNED.finditer(text)):
        if count >= MAX_NAMES * 10 or len(found) >= MAX_NAMES:
            break
        at = match.end()
        alias = _ALIAS.match(text, at)
        is_cell = any(form.match(text, at) for form in (_CELL, _TABLE, _ORDERED))
        if is_cell or (alias and alias[1] in found):
            found[match[1]] = None
    return list(found)


def assigned(text: str, name: str) -> Passage:
    """What a Python file assigns to a name, last; one name for another is followed.

    Raises:
        NotFoundError: nothing is assigned to it.
        GenotypeError: what is assigned is no written value, or names lead in a circle.
    """
    seen: list[str] = []
    while name not in seen and len(seen) < 20:
        seen.append(name)
        places = [match.end() for match in _ASSIGNED.finditer(text) if match[1] == name]
        if not places:
            known = ", ".join(names(text)[:20]) or "none that is a genotype"
            raise NotFoundError(
                f"the file gives nothing the name {name[:60]}", remedy=f"it has {known}"
            )
        at = places[-1]
        line = text.count("\n", 0, at) + 1
        if alias := _ALIAS.match(text, at):
            name = alias[1]
            continue
        if quoted := _QUOTED.match(text, at):
            return Passage(quoted[2], line, at)
        opening = _OPENING.match(text, at)
        end = end_of(text, opening.start(1)) if opening else None
        if end is None or _GOES_ON.match(text, end):
            raise GenotypeError(
                f"what has the name {name[:60]} is not a written genotype",
                where=f"line {line}: {text[at : at + 60]}",
            )
        return Passage(text[at:end], line, at)
    raise GenotypeError("names lead in a circle", where=" = ".join(seen)[:80])


def unwrapped(text: str) -> str:
    """A text without what surrounds it when it is copied: marks, fences, quotes, a comma."""
    text = text.removeprefix("\ufeff").strip()
    if len(text) > MAX_TEXT:
        return text
    if text.startswith("```"):
        text = re.sub(r"\A```[\w+-]{0,20}\s*|\s*```\Z", "", text).strip()
    for _ in range(3):
        text = text.rstrip(",; \t\r\n")
        if len(text) > 1 and text[0] == text[-1] and text[0] in "`'\"":
            text = text[1:-1].strip()
    return text
