"""`darts-tui export-network`: a trained network as files for other programs."""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from darts_engine.run.architecture.text import parse
from darts_engine.run.errors import ConfigError
from darts_engine.run.folder import RunFolder
from darts_engine.run.settings.config import override
from darts_tui.console.event_text import title
from darts_tui.console.safe_text import clean
from darts_tui.export import card
from darts_tui.export.dot import cell_dot
from darts_tui.export.files import open_folder, safe_stem, write_whole
from darts_tui.export.render import RenderError, render
from darts_tui.launch.child_program import run_with_config
from darts_tui.runs.summary import summary

HUB = "hub"
FORMATS = ("state-dict", "torchscript", "torch-export", "onnx", HUB)
HUB_CONFIG = "config.json"


class Written(NamedTuple):
    """The paths of the files, and messages for the user."""

    files: list[Path]
    messages: list[str]


def export(folder: RunFolder, formats: list[str], *, checkpoint: str, out: Path | None) -> Written:
    """Write a run's network as files.

    Args:
        folder: of a training.
        formats: names in `FORMATS`.
        checkpoint: best or last.
        out: folder of the files; None is the run's exports folder.

    Raises:
        RunError: a format is unknown, the run has no network, or the files cannot be written.
    """
    for name in formats:
        if name not in FORMATS:
            raise ConfigError(f"there is no format {name!r}", remedy=f"use {', '.join(FORMATS)}")
    if not formats:
        raise ConfigError("no format was named", remedy=f"use {', '.join(FORMATS)}")
    config = override(folder.read_config(), {"engine.device": "cpu"})
    target = open_folder(out or folder.exports, own=out is None)
    answer = run_with_config(
        "export_network",
        config,
        [
            *("--run", folder.path),
            *("--checkpoint", checkpoint),
            *("--formats", ",".join(dict.fromkeys(formats))),
            *("--out", target.absolute()),
            *("--stem", safe_stem(folder.name)),
        ],
    )
    written = Written([target / name for name in msgspec.json.decode(answer, type=list[str])], [])
    if HUB in formats:
        _add_card(folder, written)
    return written


def _add_card(folder: RunFolder, written: Written) -> None:
    """Write the model card, and the pictures of the cells beside it."""
    config = next(file for file in written.files if file.name == HUB_CONFIG)
    about: dict[str, Any] = msgspec.json.decode(config.read_bytes())
    pictures = _add_pictures(folder, about["genotype"], config.parent, written)
    text = card.card(folder.name, about, summary(folder), pictures)
    written.files.append(write_whole(config.parent / card.README, [text.encode()]))
    written.messages.append(
        f"{card.README} names no license: choose one before you publish the folder"
    )


def _add_pictures(run: RunFolder, text: str, into: Path, written: Written) -> dict[str, str]:
    """Draw the cells of a genotype. Returns the titles of the pictures by file name."""
    pictures: dict[str, str] = {}
    if not text:
        return pictures
    genotype = parse(text)
    for cell in genotype.cells:
        words = f"{clean(run.name, 80)}, {title(cell)}"
        try:
            drawn = render(cell_dot(genotype, cell, title=words), "png")
        except RenderError as error:
            written.messages.append(f"the card has no picture of its cells: {error}")
            break
        name = f"{safe_stem(cell)}.png"
        written.files.append(write_whole(into / name, [drawn]))
        pictures[name] = title(cell)
    return pictures
