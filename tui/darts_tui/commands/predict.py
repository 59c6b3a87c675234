"""`darts-tui predict`: what a run's network takes pictures for."""

from pathlib import Path
from typing import Any

import msgspec

from darts_engine.run.answers import Prediction
from darts_engine.run.errors import ExitCode
from darts_engine.run.folder import RunFolder
from darts_engine.run.settings import config as configs
from darts_tui.console.console import print_err, print_json
from darts_tui.console.safe_text import clean
from darts_tui.launch.child_program import ask

BAR = 20


def predict(
    folder: RunFolder, images: list[Path], *, checkpoint: str, top: int, given: dict[str, Any]
) -> list[Prediction]:
    """Ask the engine; the answers in the order of the images.

    Raises:
        RunError: the run has no network or no checkpoint.
    """
    # On the CPU unless asked otherwise: a run that goes on needs its GPU to itself.
    config = configs.override(folder.read_config(), {"engine.device": "cpu", **given})
    answer = ask(
        "predict",
        config,
        [
            *("--run", folder.path),
            *("--checkpoint", checkpoint),
            *("--top", str(top)),
            "--",
            *images,
        ],
    )
    return msgspec.json.decode(answer, type=list[Prediction])


def report(images: list[Path], found: list[Prediction], *, as_json: bool) -> int:
    """Print what was found, name the broken images, and give the exit code."""
    if as_json:
        print_json([_plain(image, one) for image, one in zip(images, found, strict=True)])
    for image, one in zip(images, found, strict=True):
        if one.error:
            print_err(f"{image}: {one.error}")
        elif not as_json:
            print(_text(image, one))
    return ExitCode.REFUSED if any(one.error for one in found) else ExitCode.OK


def _plain(image: Path, one: Prediction) -> dict[str, Any]:
    if one.error:
        return {"image": str(image), "error": one.error}
    labels = [{"class": name, "probability": share} for name, share in one.labels]
    return {"image": str(image), "labels": labels}


def _text(image: Path, one: Prediction) -> str:
    names = [clean(name, 40) for name, _ in one.labels]
    wide = max(map(len, names))
    lines = [clean(image)]
    for name, (_, share) in zip(names, one.labels, strict=True):
        bar = "█" * round(BAR * share)
        lines.append(f"  {name:{wide}}  {100 * share:6.2f} %  {bar}".rstrip())
    return "\n".join(lines)
