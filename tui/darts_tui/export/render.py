"""Graphviz text to a picture, in a child process, with fonts that are there.

The first that works of: `$DARTS_TUI_DOT`, `dot` on PATH, pygraphviz (whose wheel holds Graphviz
itself). pygraphviz is native code, so it runs in `python -m darts_tui.export.render FORMAT`, which
reads DOT and writes the picture as `dot -TFORMAT` does: whatever it does to itself, the dashboard
lives on.
"""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from darts_engine.run.errors import RunError
from darts_tui.console.safe_text import clean

FORMATS = ("svg", "png", "pdf")
PNG_DPI = 200
TIMEOUT_S = 180
INSTALL = (
    "install Graphviz (apt install graphviz, brew install graphviz) or 'pip install pygraphviz'"
)


class RenderError(RunError):
    """No program on this machine could draw the picture."""


@dataclass(frozen=True)
class Renderer:
    """A program that reads DOT on its input and writes the picture to its output."""

    name: str
    command: list[str]


def renderers(picture: str) -> list[Renderer]:
    """What there is to draw `picture` ("svg", "png" or "pdf") with, the preferred first."""
    dpi = [f"-Gdpi={PNG_DPI}"] if picture == "png" else []
    found = []
    chosen = os.environ.get("DARTS_TUI_DOT") or shutil.which("dot")
    if chosen:
        found.append(Renderer(chosen, [chosen, f"-T{picture}", *dpi]))
    if importlib.util.find_spec("pygraphviz"):
        # -P: a file of the working folder must not pass for a module.
        child = [sys.executable, "-P", "-m", "darts_tui.export.render", picture]
        found.append(Renderer("pygraphviz", child))
    return found


def render(dot: str, picture: str) -> bytes:
    """Draw.

    Args:
        dot: Graphviz text.
        picture: "svg", "png" (200 dots per inch) or "pdf".

    Raises:
        RenderError: nothing on this machine can.
    """
    found = renderers(picture)
    if not found:
        raise RenderError(f"nothing here can draw {picture}", remedy=INSTALL)
    reasons = []
    with fonts() as environment:
        for renderer in found:
            try:
                return run_child(renderer.command, dot.encode(), environment)
            except OSError as error:
                reasons.append(f"{renderer.name}: {error.strerror or error}")
            except ChildError as error:
                reasons.append(f"{renderer.name}: {error}")
    raise RenderError(
        f"{picture} could not be drawn", where=clean("; ".join(reasons), 300), remedy=INSTALL
    )


class ChildError(Exception):
    """A drawing child failed; the text is its last word."""


def run_child(command: list[str], given: bytes, environment: dict[str, str]) -> bytes:
    """What a child makes of its input.

    Raises:
        OSError: it cannot be started.
        ChildError: it failed, gave nothing or took longer than `TIMEOUT_S`.
    """
    try:
        done = subprocess.run(
            command,
            input=given,
            capture_output=True,
            env=environment,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ChildError(f"gave no answer within {TIMEOUT_S} s") from None
    if done.returncode or not done.stdout:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ChildError(said[-1] if said else f"ended with status {done.returncode}")
    return done.stdout


@contextlib.contextmanager
def fonts() -> Iterator[dict[str, str]]:
    """An environment in which fontconfig knows the machine's fonts and those of matplotlib.

    On a machine without fonts, Graphviz would draw every letter as a box.
    """
    environment = dict(os.environ)
    folder = bundled_fonts()
    if folder is None:
        yield environment
        return
    own = environment.get("FONTCONFIG_FILE") or "/etc/fonts/fonts.conf"
    with tempfile.TemporaryDirectory(prefix="darts-tui-fonts-") as temporary:
        path = Path(temporary) / "fonts.conf"
        path.write_text(
            '<?xml version="1.0"?>\n<!DOCTYPE fontconfig SYSTEM "fonts.dtd">\n<fontconfig>\n'
            f'  <include ignore_missing="yes">{escape(own)}</include>\n'
            f"  <dir>{escape(str(folder))}</dir>\n"
            '  <cachedir prefix="xdg">fontconfig</cachedir>\n</fontconfig>\n'
        )
        environment["FONTCONFIG_FILE"] = str(path)
        yield environment


def bundled_fonts() -> Path | None:
    """The folder of the DejaVu fonts in matplotlib's wheel; matplotlib is not imported for it."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
    return folder if (folder / "DejaVuSans.ttf").is_file() else None


def _child(picture: str) -> int:
    import pygraphviz

    graph = pygraphviz.AGraph(string=sys.stdin.read())
    if picture == "png":
        graph.graph_attr["dpi"] = str(PNG_DPI)
    drawn = graph.draw(prog="dot", format=picture)
    sys.stdout.buffer.write(drawn)
    return 0


if __name__ == "__main__":
    sys.exit(_child(sys.argv[1]))
