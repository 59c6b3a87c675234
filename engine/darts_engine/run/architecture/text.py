"""Reads genotypes from any text, in every form that is exchanged: see the folder `forms`.

No text is evaluated. A text may be a genotype alone, or hold some: then the last complete one is
read. Nothing is looked at more than a few times, whatever the text is.
"""

import ast
from collections.abc import Mapping
from importlib import resources
from typing import Any, NamedTuple

import msgspec

from darts_engine.run.architecture.forms import (
    cells,
    compact,
    found,
    literal,
    mmrazor,
    nasbench101,
    nasbench201,
    nasbench301,
    nni_hub,
    nni_legacy,
)
from darts_engine.run.architecture.forms.literal import MAX_TEXT
from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.errors import GenotypeError

__all__ = ["MAX_TEXT", "Published", "Reading", "from_json", "parse", "published", "read"]

# Keys of results that hold a genotype: of this program's own reports, and of NAS-Bench-301's.
_HOLDERS = ("genotype", "optimized_hyperparamater_config")
_MAX_NESTED = 6


class Reading(NamedTuple):
    """A genotype, and what a reader should know of where it stood; mostly nothing."""

    genotype: Genotype
    note: str = ""


def parse(text: str) -> Genotype:
    """The genotype of a text of at most `MAX_TEXT` characters, without evaluating it.

    Raises:
        GenotypeError: the text holds no genotype.
    """
    if len(text.strip()) > MAX_TEXT:
        raise GenotypeError(f"the genotype is longer than {MAX_TEXT} characters")
    return read(text).genotype


def read(text: str, operations: Mapping[str, str] | None = None, name: str = "") -> Reading:
    """The genotype that a text is, or the last complete one that it holds.

    Args:
        text: of any length.
        operations: known names of operations by those that the text has.
        name: takes the genotype of this name from a Python file.

    Raises:
        GenotypeError: the text holds no genotype, or several by name.
        NotFoundError: the file has no genotype of the name.
    """
    names = operations or {}
    if name:
        return Reading(_alone(found.assigned(text, name).text, names))
    plain = found.unwrapped(text)
    if len(plain) <= MAX_TEXT:
        _refuse_surrogates(plain)
        if _is_alone(plain):
            return Reading(_alone(plain, names))
    return _searched(plain, names)


def _is_alone(text: str) -> bool:
    """Whether a text is a genotype and nothing else, by its first characters."""
    if text.startswith("{"):
        # A table that has a genotype in some other entry is searched as any text.
        starts = found.starts(text)
        is_whole = literal.end_of(text) in (len(text), None)
        return not starts or (is_whole and (0 in starts or _is_holder(text)))
    if text.startswith(("[", "(")):
        return not found.starts(text)
    if text.startswith("|"):
        return "\n" not in text
    is_ordered = text.startswith(("OrderedDict(", "collections.OrderedDict("))
    is_yaml = mmrazor.START.search(text) and not found.starts(text)
    return bool(is_ordered or is_yaml or nasbench201.NAMED.match(text))


def _is_holder(text: str) -> bool:
    """Whether a table's text has the key of a genotype."""
    return any(f'"{key}"' in text or f"'{key}'" in text for key in _HOLDERS)


def _refuse_surrogates(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise GenotypeError("the text is no Unicode text") from None


def _alone(text: str, names: Mapping[str, str]) -> Genotype:
    """The genotype of a text that is nothing else."""
    text = found.unwrapped(text)
    if match := nasbench201.NAMED.match(text):
        return nasbench201.read_indices(match[1], literal.value_of(match[2]))
    if text.startswith("|"):
        return nasbench201.read(_renamed_201(text, names))
    if text.startswith("{"):
        return _from_value(_renamed(_table(text), names))
    if text.startswith(("[", "(", "OrderedDict(", "collections.OrderedDict(")):
        return _from_value(_renamed(literal.value_of(text), names))
    if mmrazor.START.search(text):
        return _from_value(_renamed(mmrazor.parse(text), names))
    return _searched(text, names).genotype


def _table(text: str) -> Any:
    """A dictionary of JSON or of Python."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        try:
            return literal.value_of(text)
        except GenotypeError:
            raise GenotypeError("the genotype is not valid JSON", where=str(error)) from None


def _searched(text: str, names: Mapping[str, str]) -> Reading:
    """The last complete genotype in a text."""
    starts = found.starts(text)
    if not starts and "!!python/" in text:
        raise GenotypeError(
            "the YAML has objects of Python, which are never made",
            remedy="write the genotype as text or JSON; docs/bring.md lists the forms",
        )
    if not starts:
        raise GenotypeError(
            "the text is not a genotype",
            where=text[:60],
            remedy="expected Genotype(normal=[...], ...), JSON, or another form of docs/bring.md",
        )
    several = found.names(text) if len(starts) > 1 else []
    if len(several) > 1:
        raise GenotypeError(
            f"the file has several genotypes by name: {', '.join(several)[:300]}",
            remedy=f"choose one, as in FILE:{several[-1]}",
        )
    cut: found.Passage | None = None
    for count, start in enumerate(reversed(starts)):
        if count >= found.MAX_TRIES:
            break
        passage = found.passage(text, start)
        if not passage.is_complete:
            cut = cut or passage
            continue
        try:
            genotype = _of_passage(passage.text, names)
        except _UnwrittenError as error:
            if len(starts) == 1:
                raise GenotypeError(error.what, where=error.where, remedy=error.remedy) from None
            continue
        except GenotypeError as error:
            if len(starts) == 1:
                raise
            raise GenotypeError(
                error.what, where=f"line {passage.line}, {error.where}"[:200], remedy=error.remedy
            ) from None
        return Reading(genotype, _note(starts, passage, cut))
    if cut is None:
        raise GenotypeError("the text holds no genotype that is written out")
    raise GenotypeError(
        "the genotype is cut off: its brackets are never closed",
        where=f"line {cut.line}: {cut.text}"[:80],
    )


def _note(starts: list[int], passage: found.Passage, cut: found.Passage | None) -> str:
    if len(starts) == 1:
        return ""
    note = f"the genotype of line {passage.line}"
    if cut is not None:
        return f"{note} is read; that of line {cut.line} is cut off"
    which = "the last" if passage.start == starts[-1] else "the last that is written out"
    return f"{note} is read, {which} of {len(starts)}"


class _UnwrittenError(GenotypeError):
    """A piece of code that makes a genotype of variables, as in a search's own source."""


def _of_passage(text: str, names: Mapping[str, str]) -> Genotype:
    if text.startswith("|"):
        return nasbench201.read(_renamed_201(text, names))
    if text.startswith("{"):
        return _from_value(_renamed(_table(text), names))
    if text.startswith("O"):
        return _from_value(_renamed(literal.value_of(text), names))
    call = literal.parsed(text)
    if not isinstance(call, ast.Call):
        raise literal.refused(call)
    keys = [keyword.arg for keyword in call.keywords]
    known = cells.fields_of(keys)
    if len(call.args) > len(known):
        raise GenotypeError(f"Genotype(...) has the parts {', '.join(known)}", where=text[:60])
    written = list(zip(known, call.args, strict=False))
    for keyword in call.keywords:
        if keyword.arg in cells.IGNORED:
            continue
        if keyword.arg not in known or keyword.arg in dict(written):
            raise GenotypeError(f"Genotype(...) has no part {keyword.arg!r} to set here")
        written.append((keyword.arg, keyword.value))
    if written and all(isinstance(n, ast.Name | ast.Attribute | ast.Call) for _, n in written):
        error = literal.refused(written[0][1])
        raise _UnwrittenError(error.what, where=error.where)
    fields = {key: literal.literal(node) for key, node in written}
    return cells.from_fields(_renamed(fields, names))


def from_json(value: Any) -> Genotype:
    """The genotype of a decoded JSON value, in any form that is one.

    Raises:
        GenotypeError: the JSON is none of these.
    """
    if not isinstance(value, dict):
        raise GenotypeError("a genotype in JSON is an object with normal and reduce")
    return _from_value(value)


def _from_value(value: Any, depth: int = 0) -> Genotype:
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        for holder in _HOLDERS:
            inner = value.get(holder)
            if isinstance(inner, dict | list) and inner and depth < _MAX_NESTED:
                return _from_value(inner, depth + 1)
            if isinstance(inner, str) and inner and len(inner) <= MAX_TEXT and depth < _MAX_NESTED:
                return _from_string(inner, depth + 1)
        return _from_table(value)
    if isinstance(value, list):
        return _from_list(value)
    raise GenotypeError("a genotype in JSON is an object with normal and reduce")


def _from_string(text: str, depth: int) -> Genotype:
    if text.lstrip().startswith("{"):
        return _from_value(_table(text.strip()), depth)
    return _alone(text, {})


def _from_table(value: dict[str, Any]) -> Genotype:
    if "matrix" in value and "ops" in value:
        return nasbench101.read(value)
    if any(key in value for key in ("recurrent", "normal", "reduce")):
        return cells.from_fields(value)
    keys = list(value)
    if any(nasbench301.KEY.match(key) for key in keys):
        return nasbench301.read(value)
    if any(nni_hub.KEY.match(key) for key in keys):
        return nni_hub.read(value)
    if any(mmrazor.KEY.match(key) and isinstance(value[key], dict) for key in keys):
        return mmrazor.read(value)
    if any(nni_legacy.KEY.match(key) for key in keys):
        return nni_legacy.read(value)
    raise GenotypeError(
        "the JSON holds no genotype",
        remedy="expected the keys normal and reduce, recurrent and concat, or a form of "
        "docs/bring.md",
    )


def _from_list(value: list[Any]) -> Genotype:
    if compact.fits(value):
        return compact.read(value)
    if len(value) == 4 and all(isinstance(part, list) for part in value):
        return cells.from_four(value)
    if len(value) == 6 and all(type(number) is int for number in value):
        raise GenotypeError(
            "six numbers are a cell of NAS-Bench-201 only with the name of their table",
            remedy=f"write {nasbench201.REMEDY}",
        )
    raise GenotypeError(
        "the list holds no genotype",
        remedy="expected normal, normal_concat, reduce and reduce_concat, or compact tuples",
    )


def _renamed(value: Any, names: Mapping[str, str], depth: int = 0) -> Any:
    """A value whose strings have the known names of operations; keys stay."""
    if not names or depth > literal.MAX_DEPTH:
        return value
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, dict):
        return {key: _renamed(item, names, depth + 1) for key, item in value.items()}
    return (
        [_renamed(item, names, depth + 1) for item in value] if isinstance(value, list) else value
    )


def _renamed_201(text: str, names: Mapping[str, str]) -> str:
    """A string of NAS-Bench-201 with the known names of operations."""
    for theirs, ours in names.items():
        text = text.replace(f"|{theirs}~", f"|{ours}~")
    return text


class Published(msgspec.Struct, frozen=True):
    """A published cell and its source."""

    genotype: Genotype
    source: str


def published() -> dict[str, Published]:
    """The published cells in `genotypes.json`, by name."""
    raw = resources.files("darts_engine.run.architecture").joinpath("genotypes.json").read_bytes()
    table = msgspec.json.decode(raw)["genotypes"]
    return {
        name: Published(from_json(entry), str(entry["source"])) for name, entry in table.items()
    }
