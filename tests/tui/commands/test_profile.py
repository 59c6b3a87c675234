"""`darts-tui profile`: the table, the trace, and faults of the child in three lines."""

import gzip
import json
import sys
from pathlib import Path

import pytest

from darts_engine.run.settings import config
from darts_tui.commands import profile

TINY = (
    *("--channels", 2, "--layers", 3, "--nodes", 1, "--batch-size", 8),
    *("--threads", 1, "--device", "cpu", "--steps", 1),
)


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Let a few lines of Python stand in for the profiler."""

    def stand_in(code: str) -> None:
        script = tmp_path / "stand_in.py"
        script.write_text(code)
        monkeypatch.setattr(profile, "PROFILER", (sys.executable, str(script)))

    return stand_in


@pytest.mark.slow
def test_a_profile_is_a_table_and_a_trace(darts, tmp_path):
    result = darts("profile", *TINY, "--out", "deep/er")
    assert result.code == 0
    assert "depthwise convolution" in result.out
    trace = tmp_path / "deep" / "er" / "darts-profile.json.gz"
    assert str(trace.relative_to(tmp_path)) in result.err
    assert json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]


def test_the_child_gets_every_setting_of_a_search(darts, tmp_path, child):
    child(f"import shutil, sys; shutil.copy(sys.argv[1], {str(tmp_path / 'kept.toml')!r})")
    assert darts("profile", "--channels", 6, "--order", 2, "--alpha-lr", 0.5).code == 0
    kept = config.read(tmp_path / "kept.toml")
    assert (kept.space.channels, kept.search.order, kept.alpha.lr) == (6, 2, 0.5)


def test_json_and_steps_reach_the_child_and_its_json_comes_out_whole(darts, child):
    child("import json, sys; print(json.dumps(sys.argv[2:]))")
    result = darts("profile", "--json", "--steps", 5, "--out", "here")
    steps, count, trace, path, as_json = json.loads(result.out)
    assert (steps, count, trace, as_json) == ("--steps", "5", "--trace", "--json")
    assert Path(path).is_absolute()


@pytest.mark.parametrize(
    ("code", "exit_code", "first"),
    [
        ("sys.exit('Traceback\\nmany\\nmore\\nlines\\nBoom: \\x1b[2J')", 1, "Boom: ␛[2J"),
        ("print('what\\nwhere\\nhow', file=sys.stderr); sys.exit(4)", 4, "what"),
        ("os.kill(os.getpid(), 9)", 137, "the profiler ended with exit code 137"),
    ],
)
def test_errors_of_the_child_are_printed_harmlessly(darts, tmp_path, child, code, exit_code, first):
    child(f"import os, sys; {code}")
    result = darts("profile")
    assert result.code == exit_code
    assert result.out == ""
    assert len(result.error_lines) <= 3
    assert result.error_lines[0].startswith(first)
    assert not (tmp_path / profile.TRACE).exists()


def test_a_failed_profile_leaves_an_earlier_trace_alone(darts, tmp_path, child):
    (tmp_path / profile.TRACE).write_text("earlier")
    child("import sys; sys.exit(1)")
    assert darts("profile").code == 1
    assert (tmp_path / profile.TRACE).read_text() == "earlier"


def test_a_trace_without_a_place_is_refused_before_the_work(darts, tmp_path, child):
    child("raise SystemExit(99)")
    (tmp_path / "file").write_text("")
    result = darts("profile", "--out", "file")
    assert result.code == 1
    assert result.error_lines[0].startswith("the trace cannot be written")
    assert result.error_lines[2] == "name another folder with --out"
