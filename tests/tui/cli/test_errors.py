"""An error is at most three harmless lines, with the right exit code."""

import pytest

from darts_tui.cli import main

HOSTILE = "__import__('os').system('touch pwned')"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["search", "--bogus"], 2),
        (["search", "--lr", "abc"], 2),
        (["search", "--channels", "3"], 2),
        (["search", "--epochs", "0"], 2),
        (["search", "--name", "../up"], 2),
        (["search", "--name", "latest"], 2),
        (["search", "--config", "missing.toml"], 2),
        (["train"], 5),
        (["train", "--genotype", "DARTS_V9"], 5),
        (["attach"], 5),
        (["attach", "no\x1b]0;x\x07such"], 5),
        (["pause", "latest"], 5),
        (["tail", "nosuch"], 5),
        (["resume", "nosuch"], 5),
        (["stop", ""], 5),
        (["export", "nosuch"], 5),
        (["show", HOSTILE], 4),
        (["show", "x" * 5000], 5),
        (["show", "Genotype(normal=[('sep_conv_3x3', 9)])"], 4),
        (["show", "DARTS_V2", "--network", "vgg"], 4),
        (["derive", "missing.json"], 5),
        (["nosuch\x1b[31m"], 2),
    ],
)
def test_a_fault_of_the_user_takes_at_most_three_plain_lines(darts, tmp_path, arguments, code):
    result = darts(*arguments)
    assert result.code == code
    assert result.out == ""
    assert 1 <= len(result.error_lines) <= 3
    assert "Traceback" not in result.err
    assert not any(ord(character) < 32 for line in result.error_lines for character in line)
    assert not (tmp_path / "pwned").exists()


def test_an_unknown_key_in_a_config_names_the_nearest(darts, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[search]\nepoch = 3\n")
    result = darts("search", "--config", file)
    assert result.code == 2
    assert result.error_lines == [
        "unknown setting 'search.epoch'",
        str(file),
        "did you mean 'search.epochs'?",
    ]


def test_a_fault_of_ours_is_one_line_that_names_the_traceback(darts, runs, tmp_path, monkeypatch):
    def broken(folder):
        raise ZeroDivisionError("oh \x1b[2J no")

    from fake_run import make_run

    make_run(runs, "one", epochs_done=1, epochs=2)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("darts_tui.commands.runs.describe", broken)
    result = darts("runs")
    assert result.code == 1
    (line,) = result.error_lines
    assert "ZeroDivisionError" in line
    assert "\x1b" not in line
    (file,) = tmp_path.rglob("darts-tui-*.txt")
    assert str(file) in line
    assert file.stat().st_mode & 0o777 == 0o600
    assert "Traceback" in file.read_text()


def test_debug_shows_the_traceback_wherever_it_stands():
    with pytest.raises(main.RunError):
        main.run(["show", HOSTILE, "--debug"])


def test_a_command_that_finds_no_memory_says_so(darts, monkeypatch):
    def fail(_folder):
        raise MemoryError

    monkeypatch.setattr("darts_engine.run.folder.list_runs", fail)
    result = darts("runs")
    assert (result.code, result.out, len(result.error_lines)) == (7, "", 2)
    assert result.error_lines[0] == "there is not enough memory for this command"
