"""`darts-tui export-network`: a trained network as files for other programs."""

from pathlib import Path

import msgspec

from darts_engine.run.errors import ConfigError
from darts_engine.run.folder import RunFolder
from darts_engine.run.settings.config import override
from darts_tui.export.files import open_folder, safe_stem
from darts_tui.launch.child_program import run_with_config

FORMATS = ("state-dict", "torchscript", "torch-export", "onnx")


def export(
    folder: RunFolder, formats: list[str], *, checkpoint: str, out: Path | None
) -> list[Path]:
    """Write a run's network as files. Returns their paths.

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
    return [target / name for name in msgspec.json.decode(answer, type=list[str])]
