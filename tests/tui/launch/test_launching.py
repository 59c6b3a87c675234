"""search, train, resume, pause, checkpoint, stop, with a stand-in for the engine."""

import json
import os
import re
import signal
import subprocess
import sys

import msgspec
import pytest
from engine_kit import FAKE_ENGINE
from fake_run import engine_alive, make_run

from darts_engine.run.architecture.text import published
from darts_engine.run.errors import BusyError
from darts_engine.run.folder import RunFolder
from darts_engine.run.liveness import observe
from darts_engine.run.settings import config
from darts_engine.run.settings.config import SearchConfig
from darts_tui.launch import engine_process
from darts_tui.runs.summary import summary


def test_json_progress_prints_the_log_and_returns_the_engines_code(darts, engine, runs):
    engine("finish")
    result = darts("search", "--name", "one", "--progress", "json")
    assert result.code == 0
    assert result.out == RunFolder(runs / "one").events.read_text()


def test_plain_progress_is_what_auto_means_without_a_terminal(darts, engine):
    engine("finish")
    *lines, found = darts("search").out.splitlines()
    assert found.startswith("Genotype(normal=[")
    assert sum(" epoch 1:" in line for line in lines) == 1
    assert all(re.match(r"\d\d:\d\d:\d\d \w+ ", line) for line in lines)


@pytest.mark.parametrize("view", ["quiet", "plain", "json", "rich"])
def test_a_failed_run_is_reported_in_three_lines_with_its_code(darts, engine, view):
    engine("fail")
    result = darts("search", "--progress", view, "--name", "one")
    assert result.code == 6
    assert result.error_lines[-3].startswith("the training loss is not a finite number")
    assert (result.out == "") == (view == "quiet")


def test_an_engine_that_ends_at_once_is_reported_in_its_own_words(darts, engine):
    engine("refuse")
    result = darts("search", "--progress", "quiet")
    assert result.code == 5
    assert result.error_lines == [
        "the engine ended at once (exit code 5): there is no data set 'x'",
        "config.toml",
        "use digits",
    ]


def test_an_engine_that_crashes_shows_its_last_line_and_log(darts, engine, runs):
    engine("crash")
    result = darts("search", "--name", "one", "--detach")
    assert (result.code, result.out, len(result.error_lines)) == (1, "", 3)
    assert "ValueError: bad ␛]0;title␇ luck" in result.error_lines[0]
    assert result.error_lines[1] == str(RunFolder(runs / "one").engine_log)


def test_a_killed_engine_gives_the_shells_code_and_the_way_on(darts, engine, runs):
    engine("die")
    result = darts("search", "--name", "one", "--progress", "quiet")
    assert result.code == 128 + signal.SIGKILL
    assert result.error_lines[-3:] == [
        "the engine of one was killed by signal 9",
        str(runs / "one" / "engine.log"),
        "go on from its newest checkpoint with 'darts-tui resume one'",
    ]


def test_the_dashboard_is_refused_without_a_terminal_before_anything_starts(darts, runs):
    result = darts("search", "--progress", "tui")
    assert (result.code, len(result.error_lines)) == (2, 3)
    assert list(runs.iterdir()) == []


def test_detach_prints_the_name_and_leaves_the_engine_to_be_steered(darts, engine, runs, until):
    engine("obey")
    assert darts("search", "--name", "one", "--detach") == (0, "one\n", "")
    folder = RunFolder(runs / "one")
    assert folder.is_locked()
    assert folder.engine_log.stat().st_mode & 0o777 == 0o600
    assert "pause done" in darts("pause", "one").out
    assert observe(folder, summary(folder)) == "paused"
    assert "resume done" in darts("resume", "latest").out
    assert "is running" in darts("resume", "latest").out
    refused = darts("checkpoint", "one")
    assert (refused.code, refused.error_lines[0]) == (4, "one refused to checkpoint: no ␛ room")
    assert "stop done" in darts("stop", "one").out
    until(lambda: not folder.is_locked())
    assert observe(folder, summary(folder)) == "stopped"


@pytest.mark.parametrize("word", ["pause", "checkpoint", "stop"])
def test_a_command_without_an_engine_is_an_error_with_the_way_on(darts, runs, word):
    folder = make_run(runs, "one", epochs_done=1, epochs=2)
    result = darts(word, "one")
    assert result.code == 4
    assert result.error_lines[0] == f"one is dead: there is no engine to {word}"
    assert "darts-tui resume one" in result.error_lines[2]
    assert not folder.commands.exists()


def test_resume_restarts_what_ended_and_prints_only_news(darts, engine, runs):
    engine("finish")
    folder = make_run(runs, "one", epochs_done=1, epochs=3, phase="stopped")
    old = folder.events.read_text()
    with folder.events.open("a") as file:
        file.write('{"type":"step_fin')
    result = darts("resume", "one", "--progress", "json")
    assert result.code == 0
    assert old + result.out == folder.events.read_text()
    again = darts("resume", "one")
    assert (again.code, "is finished" in again.out) == (0, True)


@pytest.mark.parametrize("asked", [[], ["--strict"], ["--nproc", "2", "--strict"]])
def test_a_resume_asks_its_engine_to_be_strict_and_ends_with_its_code(
    darts, runs, monkeypatch, asked
):
    script = "import sys; print(*sys.argv[2:], file=sys.stderr); sys.exit(4)"
    monkeypatch.setattr(engine_process, "ENGINE", (sys.executable, "-c", script))
    make_run(runs, "one", epochs_done=1, epochs=3, phase="stopped")
    result = darts("resume", "one", *asked)
    said = " ".join(asked) or "it said nothing"
    assert (result.code, len(result.error_lines)) == (4, 3)
    assert result.error_lines[0] == f"the engine ended at once (exit code 4): {said}"


def test_an_engine_that_has_no_room_for_its_words_is_understood(darts, runs, monkeypatch):
    script = "import sys; sys.exit(8)"
    monkeypatch.setattr(engine_process, "ENGINE", (sys.executable, "-c", script))
    make_run(runs, "one", epochs_done=1, epochs=3, phase="stopped")
    result = darts("resume", "one")
    assert (result.code, len(result.error_lines)) == (8, 3)
    assert result.error_lines[0].endswith("the disk is full")


def test_a_working_folder_that_was_deleted_is_no_hindrance(
    darts, runs, engine, monkeypatch, tmp_path
):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    engine("finish")
    result = darts("search", "--name", "one", "--progress", "quiet")
    assert (result.code, result.error_lines) == (0, [f"run one in {runs / 'one'}"])
    assert darts("runs").code == 0
    refused = darts("search", "--config", "here.toml")
    assert refused.code not in (0, 1)
    assert len(refused.error_lines) <= 3


def test_what_needs_the_working_folder_says_that_it_is_gone(darts, runs, monkeypatch, tmp_path):
    make_run(runs, "one", epochs_done=1, epochs=3, phase="finished")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    result = darts("export", "DARTS_V2", "--format", "dot")
    assert (result.code, len(result.error_lines)) == (5, 2)
    assert result.error_lines[0] == "the folder that you are in was deleted"


def test_a_run_whose_lock_is_a_link_is_refused_in_three_lines(darts, runs, tmp_path):
    folder = make_run(runs, "one", epochs_done=1, epochs=3, phase="stopped")
    folder.lock.unlink(missing_ok=True)
    folder.lock.symlink_to(tmp_path / "elsewhere")
    result = darts("resume", "one")
    assert (result.code, len(result.error_lines)) == (4, 3)
    assert result.error_lines[0].startswith("engine.lock is a symbolic link")
    assert not (tmp_path / "elsewhere").exists()


def test_a_name_that_steers_a_terminal_is_shown_and_not_obeyed(darts, runs):
    folder = make_run(runs, "one", epochs=3, phase="finished")
    evil = folder.path.rename(runs / "x\x1b]0;y")
    result = darts("resume", str(evil))
    assert (result.code, "is finished" in result.out) == (0, True)
    assert "\x1b" not in result.out + result.err


def test_a_held_run_is_not_started_again(darts, engine, runs):
    engine("finish")
    folder = make_run(runs, "one", epochs_done=1, epochs=3, phase="stopped")
    with engine_alive(folder):
        assert darts("resume", "one").code == 0
        with pytest.raises(engine_process.RunError) as caught:
            engine_process.start(folder, folder.read_config())
    assert caught.value.exit_code == 3


def test_options_override_the_file_and_the_rest_stands(darts, engine, runs, tmp_path):
    engine("finish")
    file = tmp_path / "mine.toml"
    file.write_text("[search]\nepochs = 7\n[weights]\nlr = 0.5\n")
    darts("search", "--name", "one", "--config", file, "--lr", "0.25", "--amp", "--nodes", "4")
    chosen = RunFolder(runs / "one").read_config()
    assert chosen == config.override(
        SearchConfig(), {"search.epochs": 7, "weights.lr": 0.25, "engine.amp": True}
    )
    # A default given on the command line still overrides the file.
    darts("search", "--name", "two", "--config", file, "--epochs", "25")
    assert RunFolder(runs / "two").read_config().epochs == 25


@pytest.mark.parametrize("kind", ["search", "train"])
@pytest.mark.parametrize("on", ["images", "text"])
def test_every_option_reaches_its_setting(darts, engine, runs, kind, on):
    engine("finish")
    odd = {"channels": 10, "stem": "imagenet", "genotype": "DARTS_V1", "lr_min": 1e-4,
           "partial_channels": 5,
           # These exclude some of the others.
           "compile": False, "checkpoint_activations": False, "dropout": 0.0}  # fmt: skip
    arguments, wanted = [], {}
    if on == "text":
        cell = published()["RNN_DARTS_V2"].genotype.text()
        arguments, wanted = {
            "search": (
                ["--space", "recurrent", "--order", "2"],
                {"space.space": "recurrent", "search.order": 2},
            ),
            "train": (
                ["--genotype", "RNN_DARTS_V2"],
                {"network.network": "recurrent", "network.genotype": cell},
            ),
        }[kind]
    for setting in config.settings(kind):
        if (setting.section == "text") != (on == "text"):
            continue
        value = odd.get(setting.field, setting.default)
        if setting.field not in odd:
            if setting.type is bool:
                value = not value
            elif setting.type in (int, float):
                value = type(value)(value * 0.5 + 0.25 if setting.type is float else value + 1)
        wanted[setting.key] = value
        if setting.type is bool:
            flag = setting.option_name
            arguments.append(flag if value else f"--no-{flag.removeprefix('--')}")
        else:
            arguments += [setting.option_name, value]
    result = darts(kind, "--name", "one", "--progress", "quiet", *arguments)
    assert result.code == 0, result.err
    if kind == "train" and on == "images":
        wanted["network.genotype"] = published()["DARTS_V1"].genotype.text()
    assert RunFolder(runs / "one").read_config() == config.override(config.KINDS[kind](), wanted)


def test_the_config_of_a_run_repeats_it(darts, engine, runs):
    engine("finish")
    make_run(runs, "found", epochs=2, phase="finished")
    darts("train", "--name", "one", "--epochs", "3")
    first = RunFolder(runs / "one").read_config()
    assert first.network.genotype == summary(RunFolder(runs / "found")).final_genotype().text()
    make_run(runs, "newer", epochs=2, phase="finished", seed=1)
    darts("train", "--name", "two", "--config", runs / "one" / "config.toml")
    assert RunFolder(runs / "two").read_config() == first
    wrong = darts("search", "--config", runs / "one" / "config.toml")
    assert (wrong.code, "darts-tui train" in wrong.err) == (2, True)


def test_a_data_set_of_ones_own_is_found_from_anywhere(darts, engine, runs, tmp_path):
    engine("finish")
    (tmp_path / "mine.npz").touch()
    darts("search", "--name", "one", "--dataset", "npz:mine.npz")
    assert RunFolder(runs / "one").read_config().data.dataset == f"npz:{tmp_path / 'mine.npz'}"


def test_the_engine_gets_a_session_quiet_threads_and_no_terminal(runs, tmp_path):
    script = tmp_path / "report.py"
    script.write_text(
        "import json, os, sys\n"
        "found = [os.getsid(0) == os.getpid(), os.environ['OMP_WAIT_POLICY'],\n"
        "        os.environ['OMP_NUM_THREADS'], os.path.realpath('/proc/self/fd/0'),\n"
        "        sorted(map(int, os.listdir('/proc/self/fd')))[3:4]]\n"
        "print(json.dumps(found))\n"
    )
    folder = make_run(runs, "one", epochs_done=1, epochs=2)
    chosen = config.override(SearchConfig(), {"engine.threads": 3})
    process = engine_process.start(folder, chosen, program=(sys.executable, str(script)))
    assert process.wait(10) == 0
    reported = json.loads(folder.engine_log.read_text())
    assert reported[:4] == [True, "PASSIVE", "3", "/dev/null"]


def test_an_ended_engine_is_no_zombie(runs, until):
    folder = make_run(runs, "one", epochs_done=1, epochs=2)
    program = (sys.executable, str(FAKE_ENGINE), "die")
    process = engine_process.start(folder, folder.read_config(), program=program)
    until(lambda: process.returncode is not None)
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_who_loses_a_race_for_a_run_is_told_all_of_it(runs):
    """The log that all of them share says it several times."""
    folder = make_run(runs, "one", epochs_done=1, epochs=2)
    with engine_alive(folder):
        who = f"pid {os.getpid()} on"
    said = str(folder.busy())
    for start, first in ((folder.write_engine, who), (folder.engine.unlink, "another process")):
        start()
        script = f"import sys; print({said!r}, {said!r}, sep='\\n', file=sys.stderr); sys.exit(3)"
        with pytest.raises(BusyError) as refusal:
            engine_process.start(
                folder, folder.read_config(), program=(sys.executable, "-c", script)
            )
        lines = str(refusal.value).splitlines()
        assert (len(lines), refusal.value.exit_code) == (3, 3)
        assert first in lines[0]


def test_an_engine_that_has_ended_is_not_named_as_the_one_that_runs(runs):
    folder = make_run(runs, "one", epochs_done=1, epochs=2)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    record = folder.write_engine()
    folder.engine.write_bytes(msgspec.json.encode(msgspec.structs.replace(record, pid=ended.pid)))
    assert "(another process)" in folder.busy().what
