"""The vocabulary: one golden line per type, and a page that tells the same story."""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from fake_run import make_run

from darts_engine.run import commands, events
from darts_engine.run.architecture.genotype import Genotype, GenotypeChange
from darts_engine.run.architecture.layout import CellLayout
from darts_engine.run.events import AnyEvent, Event

GOLDEN = (Path(__file__).parent / "golden_events.jsonl").read_bytes().splitlines()
PAGE = (Path(__file__).parents[3] / "docs" / "events.md").read_text("utf-8")
COMMON = list(Event.__struct_fields__)
TYPES = {kind.__struct_config__.tag: kind for kind in get_args(AnyEvent)}
SHAPES = (CellLayout, events.ScheduleSpan, GenotypeChange, events.GpuFigures,
          Genotype)  # fmt: skip


def section(title: str) -> str:
    """The text under a heading of the page, up to the next heading."""
    found = re.search(rf"^#+ {re.escape(title)}$(.*?)(?=^#|\Z)", PAGE, re.M | re.S)
    assert found, f"docs/events.md has no section {title}"
    return found[1]


def table(text: str) -> list[str]:
    """The names in the first column of the section's table."""
    return re.findall(r"^\| `(\w+)` \|", text, re.M)


def test_every_type_has_exactly_one_golden_line() -> None:
    assert sorted(msgspec.json.decode(line)["type"] for line in GOLDEN) == sorted(TYPES)


@pytest.mark.parametrize("line", GOLDEN, ids=lambda line: msgspec.json.decode(line)["type"])
def test_golden_lines_are_read_and_written_to_the_byte(line: bytes) -> None:
    event = events.decode(line)
    assert events.encode(event) == line + b"\n"
    assert type(event) is TYPES[msgspec.json.decode(line)["type"]]


@pytest.mark.parametrize("line", GOLDEN, ids=lambda line: msgspec.json.decode(line)["type"])
def test_the_page_lists_every_field_and_shows_the_golden_line(line: bytes) -> None:
    name = msgspec.json.decode(line)["type"]
    text = section(f"`{name}`")
    own = [field for field in TYPES[name].__struct_fields__ if field not in COMMON]
    assert table(text) == own
    assert line.decode() in text


def test_the_page_tells_of_nothing_else() -> None:
    reported = set(re.findall(r"^### `(\w+)`$", PAGE, re.M))
    commanded = {kind.__struct_config__.tag for kind in get_args(commands.AnyCommand)}
    assert reported == set(TYPES) | commanded
    assert table(section("What every line has")) == ["v", "seq", "t", "type"]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_the_page_lists_the_fields_of_shapes_inside_events(shape: type[msgspec.Struct]) -> None:
    assert table(section(shape.__name__)) == list(shape.__struct_fields__)


@pytest.mark.parametrize("kind", get_args(commands.AnyCommand), ids=lambda kind: kind.__name__)
def test_the_page_shows_a_line_for_every_command(kind: type[commands.Command]) -> None:
    text = section(f"`{kind.__struct_config__.tag}`")
    (line,) = re.findall(r"^\{.*\}$", text, re.M)
    command = commands.decode(line.encode())
    assert type(command) is kind
    own = [field for field in kind.__struct_fields__ if field not in ("id", "t", "source")]
    assert table(text) == own


def test_numbers_that_are_not_finite_become_null() -> None:
    line = events.encode(
        events.StepFinished(epoch=1, step=1, global_step=1, train_loss=float("nan"))
    )
    assert b'"train_loss":null' in line
    assert events.decode(line) == events.StepFinished(epoch=1, step=1, global_step=1)


def test_text_with_line_ends_controls_and_half_characters_stays_one_line() -> None:
    line = events.encode(events.LogWritten(level="info", message="a\nb\x1b[0m \udcff {\u2028}"))
    assert line.count(b"\n") == 1
    event = events.decode(line)
    assert isinstance(event, events.LogWritten)
    assert event.message == "a\nb\x1b[0m ? {\u2028}"


def test_fields_of_a_later_version_of_a_known_type_are_ignored() -> None:
    line = b'{"type":"events_dropped","v":1,"seq":3,"t":1.5,"count":2,"colour":"blue"}'
    assert events.decode(line) == events.EventsDropped(seq=3, t=1.5, count=2)


def test_the_python_on_the_page_runs(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "first", epochs=2, phase="finished")
    programs = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
    assert len(programs) == 2
    for program in programs:
        command = [sys.executable, "-W", "error", "-c", program]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "Genotype(normal=" in done.stdout
