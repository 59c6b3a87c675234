"""Draw Graphviz text in a child process.

It takes the first that works of `$DARTS_TUI_DOT`, `dot` on PATH, and pygraphviz, whose wheel
contains Graphviz. pygraphviz is native code that may crash, so it runs in a process of its own:
`python -m darts_tui.export.render FORMAT` reads DOT and writes the picture as `dot -TFORMAT` does.
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
    """The programs here that draw `picture` ("svg", "png" or "pdf"), the preferred first."""
    dpi = [f"-Gdpi={PNG_DPI}"] if picture == "png" else []
    found = []
    chosen = os.environ.get("DARTS_TUI_DOT") or shutil.which("dot")
    if chosen:
        found.append(Renderer(chosen, [chosen, f"-T{picture}", *dpi]))
    if importlib.util.find_spec("pygraphviz"):
        # -P: Python must not import modules from the working folder.
        child = [sys.executable, "-P", "-m", "darts_tui.export.render", picture]
        found.append(Renderer("pygraphviz", child))
    return found


def render(dot: str, picture: str) -> bytes:
    """Draw Graphviz text.

    Args:
        dot: Graphviz text.
        picture: "svg", "png" (200 dots per inch) or "pdf".

    Raises:
        RenderError: no program on this machine can; install Graphviz or pygraphviz.
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
    """A drawing child failed; the message is the last line of its standard error."""


def run_child(command: list[str], given: bytes, environment: dict[str, str]) -> bytes:
    """Run a child process on `given` and return its output.

    Raises:
        OSError: the child cannot be started.
        ChildError: it failed, wrote nothing or took longer than `TIMEOUT_S`.
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
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ChildError(lines[-1] if lines else f"ended with status {done.returncode}")
    return done.stdout


@contextlib.contextmanager
def fonts() -> Iterator[dict[str, str]]:
    """An environment in which fontconfig finds the machine's fonts and those of matplotlib.

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
    """The folder of the DejaVu fonts in matplotlib's wheel, found without importing matplotlib."""
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
