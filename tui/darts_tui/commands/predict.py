"""`darts-tui predict`: labels pictures with a run's network."""

from pathlib import Path
from typing import Any

import msgspec

from darts_engine.run.answers import Prediction
from darts_engine.run.errors import ExitCode
from darts_engine.run.folder import RunFolder
from darts_engine.run.settings.config import override
from darts_tui.console.console import print_err, print_json
from darts_tui.console.safe_text import clean
from darts_tui.launch.child_program import run_with_config

BAR = 20


def predict(
    folder: RunFolder, images: list[Path], *, checkpoint: str, top: int, given: dict[str, Any]
) -> list[Prediction]:
    """The labels of each image, or why it cannot be read, in the order of the images.

    Raises:
        RunError: the run has no network or no checkpoint.
    """
    # The CPU is the default, as a run under way needs all of its GPU.
    config = override(folder.read_config(), {"engine.device": "cpu", **given})
    answer = run_with_config(
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
    """Print the labels, and errors for broken images. Returns the exit code."""
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
