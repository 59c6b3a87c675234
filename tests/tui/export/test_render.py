import os
import shutil
import sys
import zlib
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from darts_engine.run.architecture.genotype import CELLS
from darts_engine.run.architecture.text import published
from darts_tui.export import render as renderer
from darts_tui.export.dot import cell_dot
from darts_tui.export.render import Renderer, RenderError, bundled_fonts, render

DARTS_V2 = published()["DARTS_V2"].genotype
NASNET = published()["NASNet"].genotype

BACKENDS = [
    pytest.param("pygraphviz", id="pygraphviz"),
    pytest.param(
        "dot",
        id="dot",
        marks=pytest.mark.skipif(not shutil.which("dot"), reason="no system Graphviz (dot)"),
    ),
]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    every = renderer.renderers

    def only(picture: str) -> list[Renderer]:
        return [found for found in every(picture) if Path(found.name).name == request.param]

    monkeypatch.setattr(renderer, "renderers", only)
    return request.param


def dark_pixels(png: bytes) -> set[tuple[int, int]]:
    """Places of the pixels darker than mid-grey, read without any imaging library."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    place, data, header = 8, b"", b""
    while place < len(png):
        length, kind = int.from_bytes(png[place : place + 4]), png[place + 4 : place + 8]
        body = png[place + 8 : place + 8 + length]
        header, data = (body, data) if kind == b"IHDR" else (header, data)
        data += body if kind == b"IDAT" else b""
        place += length + 12
    width, height = int.from_bytes(header[:4]), int.from_bytes(header[4:8])
    channels = {2: 3, 6: 4}[header[9]]
    raw, stride, previous, dark = zlib.decompress(data), width * channels, b"", set()
    previous = bytes(stride)
    for y in range(height):
        row = _unfiltered(raw[y * (stride + 1) : (y + 1) * (stride + 1)], previous, channels)
        dark |= {(x, y) for x in range(width) if sum(row[x * channels : x * channels + 3]) < 380}
        previous = row
    return dark


def _unfiltered(line: bytes, above: bytes, channels: int) -> bytes:
    kind, row = line[0], bytearray(line[1:])
    for i in range(len(row)):
        left = row[i - channels] if i >= channels else 0
        corner = above[i - channels] if i >= channels else 0
        up = above[i]
        guess = left + up - corner
        paeth = min((abs(guess - left), 0, left), (abs(guess - up), 1, up),
                    (abs(guess - corner), 2, corner))[2]  # fmt: skip
        row[i] = (row[i] + (0, left, up, (left + up) // 2, paeth)[kind]) & 0xFF
    return bytes(row)


@pytest.mark.parametrize("cell", CELLS)
def test_svg_is_xml_and_shows_every_operation(backend: str, cell: str) -> None:
    svg = ET.fromstring(render(cell_dot(NASNET, cell), "svg"))
    texts = [(node.text or "").strip() for node in svg.iter("{http://www.w3.org/2000/svg}text")]
    wanted = sorted(edge.operation for edge in NASNET.edges(cell))
    assert sorted(text for text in texts if "_" in text) == wanted


def test_svg_takes_a_hostile_title_as_text(backend: str) -> None:
    title = 'x"];node[URL="http://evil"] &#27; \\N <script>'
    svg = ET.fromstring(render(cell_dot(DARTS_V2, "normal", title=title), "svg"))
    assert title in ["".join(node.itertext()) for node in svg.iter() if node.tag.endswith("text")]
    assert not [node for node in svg.iter() if node.tag.endswith(("}a", "}script"))]


@pytest.mark.slow
def test_png_and_pdf_are_what_they_say(backend: str) -> None:
    dot = cell_dot(DARTS_V2, "normal")
    assert len(dark_pixels(render(dot, "png"))) > 5000
    assert render(dot, "pdf").startswith(b"%PDF-")


def test_letters_are_letters_on_a_machine_without_fonts(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "none.conf"
    empty.write_text('<?xml version="1.0"?><fontconfig></fontconfig>')
    monkeypatch.setenv("FONTCONFIG_FILE", str(empty))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # Where every letter is the same box, words of equal length look the same.
    assert _word("abcdefgh") != _word("stuvwxyz")
    # They do without our fonts, so the test would detect that.
    monkeypatch.setattr(renderer, "bundled_fonts", lambda: None)
    assert _word("abcdefgh") == _word("stuvwxyz")


def _word(text: str) -> set[tuple[int, int]]:
    dot = (
        f'digraph {{ bgcolor=white; n [shape=none, fontname="DejaVu Sans Mono", label="{text}"] }}'
    )
    dark = dark_pixels(render(dot, "png"))
    assert dark
    return dark


def test_a_renderer_that_fails_hands_over_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARTS_TUI_DOT", shutil.which("false") or "/bin/false")
    assert render(cell_dot(DARTS_V2, "normal"), "svg").lstrip().startswith(b"<?xml")


def test_the_chosen_dot_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARTS_TUI_DOT", "/opt/graphviz/bin/dot")
    assert renderer.renderers("svg")[0].command == ["/opt/graphviz/bin/dot", "-Tsvg"]


def test_a_child_that_dies_costs_an_error_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    killed = Renderer("suicide", [sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"])
    monkeypatch.setattr(renderer, "renderers", lambda picture: [killed])
    with pytest.raises(RenderError, match=r"suicide: ended with status -11"):
        render("digraph {}", "png")


def test_without_any_renderer_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(renderer, "renderers", lambda picture: [])
    with pytest.raises(RenderError, match="apt install graphviz") as caught:
        render("digraph {}", "png")
    assert len(str(caught.value).splitlines()) <= 3


def test_bundled_fonts_are_found_without_importing_matplotlib() -> None:
    fonts = bundled_fonts()
    assert fonts is not None
    assert "DejaVuSans.ttf" in os.listdir(fonts)
