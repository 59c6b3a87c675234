"""`darts-tui analyse`: the loss around a checkpoint's alpha as text, tables and pictures."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from darts_engine.run.answers import Analysis, AnalysisRequest
from darts_engine.run.errors import ConfigError
from darts_engine.run.folder import RunFolder
from darts_engine.run.settings.config import SearchConfig
from darts_tui.console.safe_text import clean
from darts_tui.launch.child_program import run_with_config

if TYPE_CHECKING:
    from darts_tui.export.pictures import Curves, Surface

PLANES = ("random", "dominant")


def analyse(folder: RunFolder, config: SearchConfig, request: AnalysisRequest) -> Analysis:
    """Analyse a search's checkpoint, in a child process.

    Raises:
        ChildError: the analysis failed; has the message and the exit code.
    """
    request_json = msgspec.json.encode(request).decode()
    answer = run_with_config("analyse", config, ["--run", folder.path, "--request", request_json])
    return msgspec.json.decode(answer, type=Analysis)


def search_of(folder: RunFolder) -> SearchConfig:
    """The config of a search.

    Raises:
        ConfigError: the run is a training.
    """
    config = folder.read_config()
    if not isinstance(config, SearchConfig):
        raise ConfigError(
            "this run is a training: it has no alpha", where=folder.name, remedy="name a search"
        )
    return config


def write(
    folder: RunFolder, found: Analysis, formats: Collection[str], out: Path | None
) -> tuple[list[Path], list[str]]:
    """Write pictures and tables of the analysis. Returns the files, and messages about them.

    Raises:
        RunError: the folder cannot be written.
    """
    from darts_tui.export import pictures, tables
    from darts_tui.export.files import open_folder, safe_stem, write_whole
    from darts_tui.export.render import FORMATS, RenderError

    stem = f"{safe_stem(folder.name)}-epoch{found.epoch:03d}"
    title = f"{clean(folder.name, 60)}, epoch {found.epoch}"
    jobs: list[pictures.Job] = []
    chunks: dict[str, bytes] = {}

    def add(name: str, picture: "Curves | Surface", table: bytes) -> None:
        chunks[f"{stem}-{name}.csv"] = table
        files = {f"{stem}-{name}.{f}": f for f in FORMATS if f in formats}
        if files:
            jobs.append(pictures.Job(picture=picture, files=files))

    if found.spectrum is not None:
        picture = pictures.spectrum(found.spectrum, f"{title}: eigenvalues of the Hessian in alpha")
        rows = ([place, value] for place, value in enumerate(found.spectrum, 1))
        add("spectrum", picture, tables.table(("number", "eigenvalue"), rows))
    if found.walks is not None:
        lines = [(clean(w.direction), w.distances, w.losses, w.top1) for w in found.walks]
        picture = pictures.walks(lines, f"{title}: along straight lines through alpha")
        points = (
            (name, *point) for name, *figures in lines for point in zip(*figures, strict=True)
        )
        header = ("direction", "distance", "valid_loss", "valid_top1")
        add("distance", picture, tables.table(header, points))
    if found.landscape is not None:
        plane = found.landscape
        surface = pictures.Surface(
            title=f"{title}: validation loss around alpha",
            labels=[f"{clean(name)} direction" for name in plane.directions],
            distances=plane.distances,
            values=plane.losses,
        )
        places = (
            (x, y, plane.losses[row][column], plane.top1[row][column])
            for row, y in enumerate(plane.distances)
            for column, x in enumerate(plane.distances)
        )
        columns = (*plane.directions, "valid_loss", "valid_top1")
        add("landscape", surface, tables.table(columns, places))
    if not chunks:
        return [], []
    place = open_folder(out or folder.exports, own=out is None)
    files = [write_whole(place / name, [table]) for name, table in chunks.items()]
    if not jobs:
        return files, []
    try:
        drawn = pictures.draw(jobs)
    except RenderError as error:
        return files, [str(error)]
    return [*files, *(write_whole(place / name, [made]) for name, made in drawn.items())], []


def text(name: str, found: Analysis) -> str:
    """For people."""
    after = f"after epoch {found.epoch}, step {found.step}"
    exact = found.exact_eigenvalue
    lines = [
        f"{clean(name)}: {clean(found.source)}, {after}",
        f"alpha has {found.entries} entries and length {found.alpha_norm:.4g}",
        "",
        f"dominant eigenvalue  {found.eigenvalue:.6g}  by Lanczos' method",
    ]
    if exact is not None:
        verdict = "they agree" if found.agrees else "THEY DO NOT AGREE"
        lines.append(f"                     {exact:.6g}  of the whole Hessian; {verdict}")
    if found.spectrum:
        below = sum(value < 0 for value in found.spectrum)
        lines.append(
            f"spectrum             {found.spectrum[0]:.4g} to {found.spectrum[-1]:.4g}, "
            f"{below} of {found.entries} negative, trace {sum(found.spectrum):.4g}"
        )
    lines += [
        "",
        f"validation           {_nats(found.valid_loss)}, {_percent(found.valid_top1)}",
        f"                     on {found.images:,} images",
    ]
    if found.gap:
        gap = found.gap
        lines.append(
            f"cut to its genotype  {_percent(gap.supernet_top1)} -> {_percent(gap.derived_top1)}; "
            f"{_percent(gap.renewed_top1)} with running statistics of its own"
        )
    for walk in found.walks or []:
        far = [walk.losses[0], walk.losses[-1]] if walk.distances[0] < 0 else [walk.losses[-1]]
        lines.append(
            f"{clean(walk.direction):20} {' and '.join(map(_nats, far))} "
            f"at distance {walk.distances[-1]:.3g}"
        )
    return "\n".join(lines)


def _nats(value: float | None) -> str:
    return f"{value:.4f} nats" if value is not None else "– nats"


def _percent(value: float | None) -> str:
    return f"{value:.2f} %" if value is not None else "– %"


def as_plain(found: Analysis, files: list[Path]) -> dict[str, Any]:
    """For programs."""
    plain: dict[str, Any] = msgspec.to_builtins(found)
    if plain["gap"]:
        # The measurement is not in the log, so it has no position there.
        plain["gap"] = {k: v for k, v in plain["gap"].items() if k not in ("seq", "t", "v", "type")}
    return plain | {"agrees": found.agrees, "files": [str(file) for file in files]}
