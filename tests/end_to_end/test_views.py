"""Without the dashboard, in poor terminals, and with hostile words: what is seen is harmless."""

import json
import re

import numpy as np
import pytest
from engine_kit import events_in, state_of, until
from house_kit import DARTS, TINY, House, seqs_have_no_gap
from terminal_kit import Terminal, ended

SHORT = ("--epochs", "1", "--batch-size", "256", *TINY)
HOSTILE = "\x1b]0;PWNED\x07[bold red]a[/]\u202eb\x9b31m"
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


def hostile_dataset(house: House, *, classes: int = 4):
    """Random images in classes, and in a file, of names that try to steer the terminal."""
    draws = np.random.default_rng(0)
    path = house.home / f"{HOSTILE.replace('/', '')}.npz"
    np.savez(
        path,
        images=draws.integers(0, 255, (120, 8, 8)).astype(np.uint8),
        labels=np.arange(120) % 4,
        classes=np.array([f"{HOSTILE}{n}" for n in range(classes)]),
    )
    return path


@pytest.mark.slow
def test_without_a_terminal_a_run_is_told_in_lines_json_or_not_at_all(house: House):
    plain = house.cli("search", "--name", "plain", *SHORT)
    assert plain.returncode == 0
    out = plain.stdout.decode()
    assert re.search(r"^\d\d:\d\d:\d\d epoch  epoch 1: train", out, re.MULTILINE)
    assert out.splitlines()[-1].startswith("Genotype(")
    assert "\x1b" not in out + plain.stderr.decode()

    as_json = house.cli("attach", "plain", "--progress", "json")
    lines = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert seqs_have_no_gap(lines)
    assert (lines[0]["type"], lines[-1]["type"]) == ("run_started", "run_finished")

    quiet = house.cli("attach", "plain", "--progress", "quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, b"", b"")
    again = house.cli("resume", "plain")
    assert again.stdout == b"plain is finished; there is nothing left to do\n"
    (listed,) = json.loads(house.cli("runs", "--json").stdout)
    assert (listed["name"], listed["state"]) == ("plain", "finished")

    dumb = house.terminal("attach", "plain", TERM="dumb")
    assert dumb.wait() == 0
    assert "epoch 1: train" in dumb.text()
    assert b"\x1b" not in dumb.sent


@pytest.mark.slow
def test_detach_prints_the_name_and_the_run_is_steered_by_commands(house: House):
    started = house.cli("search", "--name", "apart", "--epochs", "1000", *TINY, "--detach")
    assert (started.returncode, started.stdout) == (0, b"apart\n")
    run = house.run("apart")
    until(lambda: state_of(run).global_step)
    for word, phase in (("pause", "paused"), ("resume", "running"), ("stop", "stopped")):
        said = house.cli(word, "apart")
        assert said.returncode == 0, said.stderr
        until(lambda phase=phase: state_of(run).phase == phase, 15)


@pytest.mark.parametrize(
    "changes",
    [
        {"NO_COLOR": "1"},
        pytest.param({"TERM": "linux", "COLORTERM": None}, marks=pytest.mark.slow),
        pytest.param({"LANG": "C"}, marks=pytest.mark.slow),
        pytest.param(
            {"TERM": "screen-256color", "COLORTERM": None, "LANG": None}, marks=pytest.mark.slow
        ),
        pytest.param(
            {"HOME": "/nonexistent", "XDG_CONFIG_HOME": None, "XDG_CACHE_HOME": None},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["no-colour", "console", "c-locale", "screen", "no-home"],
)
def test_the_dashboard_starts_in_a_poor_terminal(lived_in: House, changes: dict[str, str | None]):
    screen = lived_in.terminal("attach", "long", **changes)
    screen.shows("long", "RUNNING", "Normal cell", "Events")
    if "NO_COLOR" in changes:
        colours = re.findall(rb"[34]8;2;(\d+);(\d+);(\d+)", screen.sent)
        assert all(red == green == blue for red, green, blue in colours), "greys are no colours"
        assert not screen.unreadable()
    screen.press("q")
    assert screen.wait() == 0
    assert "come back with" in screen.text()
    assert screen.modes == screen.modes_before


@pytest.mark.parametrize("redirected", ["2>errors", pytest.param("2>&-", marks=pytest.mark.slow)])
def test_the_dashboard_draws_on_the_terminal_though_stderr_goes_elsewhere(
    lived_in: House, redirected: str
):
    shell = ["sh", "-c", f'"$@" {redirected}', "sh", *DARTS, "attach", "long"]
    with ended(Terminal(shell, lived_in.environment, directory=lived_in.home)) as screen:
        screen.shows("RUNNING", "Normal cell")
        screen.press("q")
        assert screen.wait() == 0
        assert "come back with" in screen.text()
        assert screen.modes == screen.modes_before


@pytest.mark.slow
def test_hostile_words_reach_no_terminal_raw(house: House):
    path = hostile_dataset(house)
    words = ("search", "--name", "hostile", "--dataset", f"npz:{path}")
    said = house.cli(*words, *SHORT)
    assert said.returncode == 0, said.stderr
    run = house.run("hostile")
    assert events_in(run)[0].classes[0] == f"{HOSTILE}0", "the log keeps what was given"
    outputs = [said]
    outputs += [house.cli("tail", "hostile"), house.cli("tail", "hostile", "--json")]
    outputs += [house.cli("runs"), house.cli("search", "--dataset", f"npz:{path}x", *SHORT)]
    for output in outputs:
        assert not CONTROLS.search(output.stdout.decode() + output.stderr.decode())

    screen = house.terminal("attach", "hostile")
    text = screen.shows("FINISHED", "[bold red]")
    assert "␛]0;PWNED" in text
    for tab in "2345678901":
        screen.press(tab)
    screen.shows("Events", "FINISHED")
    screen.press("q")
    assert screen.wait() == 0
    assert "PWNED" not in screen.title
    assert b"\x1b]0;PWNED" not in screen.sent
    for mark in ("\u202e", "\x9b"):
        assert mark.encode() not in screen.sent


@pytest.mark.slow
def test_a_class_of_a_hostile_name_without_images_is_refused_harmlessly(house: House):
    path = hostile_dataset(house, classes=2)
    said = house.cli("search", "--dataset", f"npz:{path}", *SHORT)
    assert said.returncode == 4
    assert len(said.stderr.splitlines()) <= 4
    assert not CONTROLS.search(said.stderr.decode())
