"""`darts-tui export`: pictures and tables of a run or a genotype."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darts_engine.run.errors import NotFoundError
from darts_engine.run.folder import RunFolder, find
from darts_tui.runs.genotypes import RUN_PREFIX, Named, named


def export_target(
    text: str,
    runs: Path,
    *,
    what: list[str],
    formats: list[str],
    out: Path | None,
    epoch: int | None,
    operations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write pictures and tables. Returns the files, and messages about them.

    Args:
        text: names a run or a genotype.
        runs: folder of the runs.
        what: names of what to export; empty for the usual.
        formats: formats of the pictures.
        out: folder of the files; None for the usual one.
        epoch: export the state after this epoch; None for the newest.
        operations: known names of operations by those that a genotype's text has.

    Raises:
        NotFoundError: no run or genotype has this name.
        RunError: a content or format is unknown, or there is nothing to export yet.
    """
    from darts_tui.export import jobs

    target = _target(text, runs, operations)
    report = jobs.export(
        jobs.NamedGenotype(target.name, target.genotype) if isinstance(target, Named) else target,
        what=_without_repeats(what),
        formats=_without_repeats(formats),
        out=out,
        epoch=epoch,
    )
    notes = [target.note] if isinstance(target, Named) and target.note else []
    messages = [*notes, *report.messages]
    return {"files": [str(file) for file in report.files], "messages": messages}


def _target(text: str, runs: Path, operations: Mapping[str, str] | None) -> RunFolder | Named:
    reference = text.removeprefix(RUN_PREFIX)
    try:
        return find(runs, reference)
    except NotFoundError:
        if reference != text:
            raise
    return named(text, runs, operations)


def _without_repeats(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))
