"""`darts-tui bilevel`: the toy problem of the DARTS paper's figure 2, with the searches' own step.

An engine program computes the path; the export's child process draws the picture.
"""

import json
from pathlib import Path

import msgspec

from darts_engine.run.answers import ToyDescent
from darts_engine.run.errors import ConfigError
from darts_tui.export import pictures
from darts_tui.export.files import write_whole
from darts_tui.export.render import FORMATS
from darts_tui.launch.child_program import run_program


def walk(xi: float, steps: int) -> ToyDescent:
    """The path that alternating steps of alpha and w take.

    Args:
        xi: learning rate of the virtual step; 0 is first order.
        steps: how many of each.

    Raises:
        ChildError: the engine program failed.
    """
    answer = run_program("bilevel", ["--xi", repr(xi), "--steps", str(steps)])
    return msgspec.json.decode(answer, type=ToyDescent)


def text(found: ToyDescent) -> str:
    """For people: the end of the path, and the point that it converges to."""
    alpha, weight = found.path[-1]
    rest = 2 / (1 + 2 * found.xi)
    return (
        f"xi = {found.xi:g}: from (2, -2) to ({alpha:.3f}, {weight:.3f}) "
        f"in {len(found.path) - 1} steps of alpha and w\n"
        f"it comes to rest at ({rest:.3f}, {rest:.3f}), where the unrolled gradient vanishes: at\n"
        "2 / (1 + 2 xi), so the optimum (1, 1) is met exactly at xi = 0.5 and passed closely at\n"
        "0.7; first order (xi = 0) ends at (2, 2)"
    )


def as_json(found: ToyDescent) -> str:
    """For programs."""
    return json.dumps({"xi": found.xi, "path": found.path})


def export(found: ToyDescent, first_order: ToyDescent, file: Path) -> Path:
    """Draw the figure in the format of the file's ending.

    Raises:
        ConfigError: the ending is not that of a picture format.
        RenderError: matplotlib is missing.
        RunError: the file cannot be written.
    """
    kind = file.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise ConfigError(
            f"a picture cannot be {file.suffix or 'without an ending'}",
            where=str(file),
            remedy=f"end its name with {', '.join('.' + one for one in FORMATS)}",
        )
    places = [alpha for alpha, _ in found.path + first_order.path]
    panel = pictures.Panel(
        label="w",
        lines=[
            pictures.Line(label=f"ξ = {found.xi:g}", points=found.path),
            pictures.Line(label="first order (ξ = 0)", points=first_order.path, colour=2),
        ],
        mark=(1.0, 1.0),
        mark_label="optimum (1, 1)",
    )
    picture = pictures.Curves(
        title="The toy bilevel problem of the DARTS paper",
        panels=[panel],
        x_label="α",
        start=min(0.9, *places),
        epochs=max(places),
    )
    drawn = pictures.draw([pictures.Job(picture=picture, files={file.name: kind})])
    return write_whole(file, [drawn[file.name]])
