"""The command line starts quickly, and every command has help."""

import re
import subprocess
import sys

import pytest

from darts_engine.run.errors import ExitCode
from darts_engine.run.settings.config import settings

COMMANDS = [
    *("search", "train", "resume", "attach", "runs", "pause", "checkpoint", "stop", "tail"),
    *("export", "show", "derive", "doctor", "reset-terminal"),
    *("evaluate", "predict", "export-network"),
]


def test_the_command_line_imports_nothing_heavy():
    heavy = "{'torch', 'numpy', 'textual', 'rich', 'matplotlib', 'graphviz', 'psutil'}"
    program = f"import sys, darts_tui.cli.main; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def test_the_module_is_the_program():
    for module in ("darts_tui", "darts_tui.cli.main"):
        result = subprocess.run(
            [sys.executable, "-m", module, "--version"], capture_output=True, text=True
        )
        assert re.fullmatch(r"darts-tui \d+\.\d+\S*\n", result.stdout), result.stderr


def test_help_names_every_command_and_every_exit_code(darts):
    text = darts("--help").out
    for command in COMMANDS:
        assert f" {command} " in text
    codes = text[text.index("Exit codes") :]
    for code in ExitCode:
        assert re.search(rf"\b{code.value}\b", codes), code


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps_with_an_example(darts, command):
    result = darts(command, "--help")
    assert result.code == 0
    assert re.search(rf"Examples?: darts-tui {command}\b", result.out)


@pytest.mark.parametrize("kind", ["search", "train"])
def test_every_setting_has_an_option_with_its_default(darts, kind, monkeypatch):
    # In 80 columns the help's table cuts the longest names off.
    for variable, size in (("COLUMNS", "200"), ("LINES", "50")):
        monkeypatch.setenv(variable, size)
    text = darts(kind, "--help").out
    for setting in settings(kind):
        assert f" {setting.option_name} " in text, setting.key
    options = [setting.option_name for setting in settings(kind)]
    assert len(options) == len(set(options))


def test_run_names_and_published_genotypes_are_completed(darts, runs, tmp_path, monkeypatch):
    from fake_run import make_run

    make_run(runs, "first", epochs_done=1, epochs=2)
    (runs / "first").rename(runs / "seen")
    bad = runs / "x\x1b]0;y"
    bad.mkdir()
    (bad / "config.toml").write_text("")
    for line, wanted, unwanted in (
        ("attach ", ["seen", "latest"], "\x1b"),
        ("show DARTS_V", ["DARTS_V1", "DARTS_V2"], "NASNet"),
        ("search --method ", ["darts"], "latest"),
    ):
        environment = {
            "_DARTS_TUI_COMPLETE": "complete_bash",
            "COMP_WORDS": f"darts-tui {line}",
            "COMP_CWORD": str(len(line.split(" "))),
            "DARTS_TUI_RUNS": str(runs),
        }
        result = subprocess.run(
            [sys.executable, "-m", "darts_tui.cli.main"],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert set(wanted) <= set(result.stdout.split()), result
        assert unwanted not in result.stdout
