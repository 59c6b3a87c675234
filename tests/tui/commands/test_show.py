"""runs, tail, show, derive, doctor: their output for programs and for people."""

import json
from pathlib import Path

import pytest
from fake_run import engine_alive, make_run

from darts_engine.run.architecture.text import parse, published
from darts_engine.run.log import LogReader
from darts_engine.run.state import fold_all
from darts_tui.runs.genotypes import resolve
from darts_tui.runs.outcome import observed
from darts_tui.runs.summary import RunSummary, summary


def test_runs_prints_states_epochs_and_genotypes(darts, runs):
    make_run(runs, "done", epochs=3, phase="finished")
    make_run(runs, "gone", epochs_done=2, epochs=5, phase="running")
    held = make_run(runs, "held", epochs_done=1, epochs=5, phase="paused")
    with engine_alive(held):
        reported = {run["name"]: run for run in json.loads(darts("runs", "--json").out)}
        table = darts("runs").out
    assert {name: run["state"] for name, run in reported.items()} == {
        "done": "finished",
        "gone": "dead",
        "held": "paused",
    }
    assert (reported["gone"]["epoch"], reported["gone"]["epochs"], reported["gone"]["kind"]) == (
        3,
        5,
        "search",
    )
    assert reported["gone"]["step"] == 2 * 11 + 5
    assert parse(reported["done"]["genotype"])
    assert reported["done"]["path"] == str((runs / "done").resolve())
    assert len(table.splitlines()) == 4


def test_runs_of_an_empty_or_odd_folder(darts, runs):
    assert json.loads(darts("runs", "--json").out) == []
    bad = runs / "x\x1b]0;y[bold]"
    bad.mkdir()
    (bad / "config.toml").write_text("nonsense")
    result = darts("runs")
    assert result.code == 0
    assert "\x1b" not in result.out
    assert "[bold]" in result.out
    assert "\x1b" not in darts("runs", "--json").out


def test_the_quick_summary_agrees_with_the_whole_fold(runs):
    for phase in ("running", "paused", "finished", "failed", "stopped"):
        folder = make_run(runs, phase, epochs_done=2, epochs=4, phase=phase)
        whole, quick = fold_all(LogReader(folder.events).read()), summary(folder)
        for name in ("phase", "epoch", "global_step", "epochs", "result", "failure", "genotype"):
            assert getattr(quick, name) == getattr(whole, name), (phase, name)


def test_tail_prints_lines_as_they_are_on_the_disk(darts, runs):
    folder = make_run(runs, "one", epochs_done=1, epochs=2)
    lines = folder.events.read_text().splitlines()
    assert darts("tail", "--json").out.splitlines() == lines
    assert darts("tail", "one", "--json", "--from", "7").out.splitlines() == lines[6:]
    notes = darts("tail", "one").out.splitlines()
    assert 2 <= len(notes) < len(lines)
    assert any("epoch 1" in line for line in notes)


def test_tail_lets_no_control_character_through(darts, runs):
    folder = make_run(runs, "one", epochs_done=1, epochs=2)
    message = "\\u001b]0;x\x9b31m\u202e"
    with folder.events.open("a") as file:
        file.write('{"type":"log_written","seq":9000,"t":1,"v":1,"level":"info",')
        file.write(f'"message":"{message}"}}\n')
        file.write("\x1b[2J not an event\n")
        file.write('{"type":"from_the_future","seq":9001,"v":9,"t":2}\n')
    with folder.events.open("ab") as file:
        file.write(b'{"type":"from_the_future","seq":9002,"v":9,"t":2,"what":"\xff\xfe"}\n')
    result = darts("tail", "--json", "--from", "9000")
    assert [json.loads(line)["seq"] for line in result.out.splitlines()] == [9000, 9001, 9002]
    notes = darts("tail")
    for text in (result.out, notes.out, notes.err):
        assert not set(text) & {"\x1b", "\x9b", "\u202e"}
    assert "1 damaged lines" in notes.err


def test_following_a_dead_run_with_a_torn_end_comes_to_an_end(darts, runs):
    folder = make_run(runs, "one", epochs_done=1, epochs=2)
    whole = len(folder.events.read_text().splitlines())
    with folder.events.open("a") as file:
        file.write('{"type":"log_wri')
    assert len(darts("tail", "--json", "--follow").out.splitlines()) == whole


@pytest.mark.parametrize("name", ["DARTS_V1", "DARTS_V2", "PC_DARTS_cifar"])
def test_show_counts_as_published(darts, name):
    described = json.loads(darts("show", name, "--json").out)
    assert set(described) == {
        "genotype",
        "text",
        "parameters",
        "parameters_with_auxiliary",
        "multiply_adds",
    }
    assert parse(described["text"]) == published()[name].genotype
    assert parse(json.dumps(described["genotype"])) == published()[name].genotype
    assert described["text"] in darts("show", name).out


def test_show_takes_the_network_and_its_size(darts):
    arguments = ["--network", "imagenet", "--channels", "48", "--layers", "14", "--classes", "1000"]
    reported = json.loads(darts("show", "DARTS_V2", "--json", *arguments).out)
    assert reported["parameters"] == 4_718_752
    small = json.loads(darts("show", "DARTS_V2", "--json", "--channels", "16", "--layers", "8").out)
    assert small["parameters"] < 300_000


def test_a_small_network_has_not_zero_million_multiply_adds(darts):
    shown = darts("show", "RNN_DARTS_V2", "--width", "64", "--vocabulary", "2119").out
    assert "217,536  (0.22 M)" in shown


def test_a_genotype_may_be_named_in_five_ways(runs, tmp_path):
    make_run(runs, "one", epochs=2, phase="finished")
    make_run(runs, "two", kind="train", epochs=2, phase="finished")
    cell = published()["DARTS_V2"].genotype
    file = tmp_path / "cell.txt"
    file.write_text(f"MINE = {cell.text()}\n")
    assert resolve("DARTS_V2", runs) == resolve(str(file), runs) == resolve(cell.text(), runs)
    assert resolve(json.dumps(cell.to_json()), runs) == cell
    found = summary(make_run(runs, "three", epochs=2, phase="finished")).final_genotype()
    assert resolve("run:one", runs) == resolve("run:latest", runs) == found


def alphas(**changes):
    rows = [[0.0, 0.1, 0.2, 0.3, 0.4 + edge / 100, 0.5, 0.1, 0.1] for edge in range(14)]
    return {"normal": rows, "reduce": rows} | changes


def test_derive_lists_edges_by_strength(darts, tmp_path):
    file = tmp_path / "alphas.json"
    weak, strong = [0.0, 1, 0, 0, 0, 0, 0, 0], [9.0, 0, 0, 0, 0, 0, 0, 3]
    rows = [weak, [0.0, 0, 0, 4, 0, 0, 0, 0], strong, weak, weak, *[weak] * 9]
    file.write_text(json.dumps(alphas(normal=rows)))
    reported = json.loads(darts("derive", file, "--json").out)
    assert set(reported) == {"normal", "reduce", "text"}
    assert reported["normal"][:2] == [["skip_connect", 1], ["max_pool_3x3", 0]]
    # A strong `none` lowers its edge's rank and is never chosen itself.
    assert reported["normal"][2:4] == [["max_pool_3x3", 1], ["max_pool_3x3", 2]]
    assert len(reported["normal"]) == len(reported["reduce"]) == 8
    assert darts("derive", file).out.strip() == reported["text"]


def test_derive_takes_alphas_of_a_search_without_none(darts, tmp_path):
    rows = [[0.0, 0.1, 0.9, 0.3, 0.4, 0.2, 0.1]] * 14
    (file := tmp_path / "alphas.json").write_text(json.dumps({"normal": rows, "reduce": rows}))
    assert "skip_connect" in darts("derive", file).out
    (padded := tmp_path / "padded.json").write_text(
        json.dumps({cell: [[-99.0, *row] for row in rows] for cell in ("normal", "reduce")})
    )
    assert darts("derive", padded).out == darts("derive", file).out


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("[1, 2]", "no object"),
        ("{}", "no object"),
        ("{oops", "not valid JSON"),
        (json.dumps(alphas(normal=[[0.0] * 8] * 13)), "13 edges"),
        (json.dumps(alphas(normal=[])), "0 edges"),
        (json.dumps(alphas(reduce=[[0.0] * 8] * 5)), "different numbers"),
        (json.dumps(alphas(reduce=[[0.0] * 7] * 14)), "7 numbers"),
        (json.dumps(alphas(reduce=[[0.0] * 7 + [None]] * 14)), "row 1, column 8"),
        (json.dumps(alphas(reduce=[[0.0] * 7 + [True]] * 14)), "not a finite number"),
        (json.dumps(alphas(reduce=[["1"] * 8] * 14)), "not a finite number"),
        (json.dumps(alphas(reduce=[[10**400] * 8] * 14)), "finite"),
        (json.dumps(alphas(reduce=7)), "not a list of rows"),
        (json.dumps(alphas()).replace("0.5", "NaN"), "not valid JSON"),
        ("[" * 100_000, "JSON"),
    ],
)
def test_derive_reports_what_is_wrong_with_the_alphas(darts, tmp_path, content, part):
    file = tmp_path / "alphas.json"
    file.write_text(content)
    result = darts("derive", file)
    assert result.code == 4
    assert len(result.error_lines) <= 3
    assert part in result.err


def test_derive_knows_spaces_of_one_cell_type(darts, tmp_path):
    file = tmp_path / "alphas.json"
    file.write_text(json.dumps({"cell": [[0, 1, 2, 3, 4]] * 3 + [[9, 1, 2, 3, 4]] * 3}))
    text = "|avg_pool_3x3~0|+|avg_pool_3x3~0|avg_pool_3x3~1|+|none~0|none~1|none~2|"
    assert darts("derive", file).out.strip() == text
    assert resolve(text, tmp_path) == parse(text)
    # Three nodes choose: the first of the spaces of NAS-Bench-1Shot1, where each keeps two.
    wide = [[3, 1, 2, None, None], [1, 2, 3, 4, None], [5, 4, 3, 2, 1]]
    file.write_text(json.dumps({"operations": [[0, 1, 0]] * 4, "parents": wide}))
    reported = json.loads(darts("derive", file, "--json").out)
    assert parse(reported["text"]) == resolve(reported["text"], tmp_path)
    assert [part[1:] for part in reported["normal"]] == [
        [1, 0], [2, 0], [2, 1], [3, 0], [3, 2], [4, 2], [4, 3], [5, 0], [5, 1],
    ]  # fmt: skip
    assert {part[0] for part in reported["normal"]} == {"conv3x3_bn_relu", "output"}


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"cell": [[0.0] * 5] * 5}, "5 rows, not 6"),
        ({"cell": [[0.0] * 4] * 6}, "4 numbers, not 5"),
        ({"cell": 3}, "not a list of rows"),
        ({"operations": [[0.0] * 3] * 4}, "1shot1-2: 4 rows of 3"),
        ({"operations": [[0.0] * 3] * 4, "parents": [[0.0] * 3] * 3}, "3 numbers, not 4"),
    ],
)
def test_derive_reports_what_is_wrong_with_those(darts, tmp_path, content, part):
    file = tmp_path / "alphas.json"
    file.write_text(json.dumps(content))
    result = darts("derive", file)
    assert result.code == 4
    assert part in result.err


def test_doctor_finds_the_same_things_in_both_forms(darts, runs):
    findings = json.loads(darts("doctor", "--json").out)
    text = darts("doctor").out
    assert {finding["level"] for finding in findings} <= {"ok", "note", "problem"}
    for finding in findings:
        assert set(finding) == {"name", "level", "text", "remedy"}
        assert finding["name"] in text
    assert next(f for f in findings if f["name"] == "locks")["level"] == "ok"


def test_doctor_finds_a_runs_folder_that_is_none(darts, tmp_path):
    (tmp_path / "file").write_text("")
    result = darts("doctor", "--json", "--runs", tmp_path / "file")
    runs = next(f for f in json.loads(result.out) if f["name"] == "runs")
    assert result.code == 1
    assert (runs["level"], bool(runs["remedy"])) == ("problem", True)


def test_doctor_reads_what_logind_does_at_logout(tmp_path):
    from darts_tui.commands.doctor import kills_at_logout

    file = tmp_path / "logind.conf"
    assert not kills_at_logout(file)
    file.write_text("[Login]\n#KillUserProcesses=yes\n")
    assert not kills_at_logout(file)
    (tmp_path / "logind.conf.d").mkdir()
    (tmp_path / "logind.conf.d" / "site.conf").write_text("[Login]\nKillUserProcesses = yes\n")
    assert kills_at_logout(file)


def test_reset_terminal_leaves_pipes_alone(darts):
    result = darts("reset-terminal")
    assert (result.code, result.out) == (0, "")


def test_export_writes_a_run_and_a_genotype(darts, runs, tmp_path):
    folder = make_run(runs, "one", epochs=2, phase="finished")
    reported = json.loads(darts("export", "one", "--format", "dot", "--json").out)
    assert {Path(file).parent for file in reported["files"]} == {folder.exports.resolve()}
    printed = darts("export", "DARTS_V2", "--format", "dot", "--out", tmp_path / "out").out
    files = [Path(line) for line in printed.splitlines()]
    assert len(files) == 2
    assert all(file.read_text().count("->") > 8 for file in files)
    wrong = darts("export", "one", "--format", "bmp")
    assert (wrong.code, len(wrong.error_lines) <= 3) == (1, True)


def test_a_run_that_ends_while_it_is_observed_is_not_dead(runs, monkeypatch):
    """The log is read while the engine runs, the lock is looked at when it has finished."""
    folder = make_run(runs, "one", epochs=2, phase="finished")
    lines = folder.events.read_bytes().splitlines(keepends=True)
    folder.events.write_bytes(b"".join(lines[:-1]))
    update = RunSummary.update

    def then_finish(summary):
        state = update(summary)
        folder.events.write_bytes(b"".join(lines))
        return state

    monkeypatch.setattr(RunSummary, "update", then_finish)
    assert observed(folder)[1] == "finished"


def test_derive_takes_the_operations_and_loose_ends_of_a_nasnet_like_cell(darts, tmp_path):
    rows = [[float(column == 6) * (row + 1) for column in range(8)] for row in range(20)]
    (tmp_path / "alphas.json").write_text(json.dumps({"normal": rows, "reduce": rows}))
    result = darts("derive", tmp_path / "alphas.json", "--space", "nasnet-like", "--json")
    found = parse(json.loads(result.out)["text"])
    assert {edge.operation for edge in found.edges("normal")} == {"sep_conv_7x7"}
    taken = {edge.input for edge in found.edges("normal")}
    assert found.normal_concat == tuple(n for n in range(2, 7) if n not in taken) != (2, 3, 4, 5, 6)
    result = darts("derive", tmp_path / "alphas.json", "--space", "s1")
    assert (result.code, "use darts or nasnet-like" in result.error_lines[-1]) == (4, True)


def test_show_counts_the_networks_of_the_benchmarks(darts):
    cell = (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
        "+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    )
    output = darts("show", cell).out
    assert "network of NAS-Bench-201, C=16, 15 cells, 10 classes" in output
    assert "1,531,546" in output
    result = darts("show", cell, "--network", "imagenet")
    assert (result.code, result.error_lines[-1]) == (4, "leave out --network")


def test_show_counts_recurrent_networks_as_published(darts):
    def parameters(*arguments: object) -> int:
        return int(json.loads(darts("show", *arguments, "--json").out)["parameters"])

    assert parameters("RNN_DARTS_V2") == 22_960_000
    assert parameters("RNN_ENAS") == 27_295_000
    assert parameters("RNN_DARTS_V1", "--width", 700, "--vocabulary", 33_278) == 33_127_878
    text = "Genotype(recurrent=[('relu', 0), ('tanh', 1)], concat=[1, 2])"
    described = json.loads(darts("show", text, "--width", 10, "--vocabulary", 7, "--json").out)
    assert described["parameters"] == 7 * 10 + 4 * 100 + 2 * 2 * 100 + 7
    assert (described["width"], described["vocabulary"], described["text"]) == (10, 7, text)
    assert parse(json.dumps(described["genotype"])) == parse(text)
    printed = darts("show", text).out
    assert "node 2 = tanh(node 1)" in printed
    assert "recurrent network, 850 wide, 10,000 tokens" in printed


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (("RNN_DARTS_V2", "--channels", 16), 2, "--width and --vocabulary"),
        (("RNN_DARTS_V2", "--network", "imagenet"), 2, "--width and --vocabulary"),
        (("DARTS_V2", "--width", 300), 2, "only the network of a recurrent cell"),
        (("wrn-28-10", "--vocabulary", 300), 2, "only the network of a recurrent cell"),
        (("Genotype(recurrent=[('none', 0)])",), 4, "no recurrent cell has the operation 'none'"),
        (("Genotype(recurrent=[('sep_conv_3x3', 0)])",), 4, "tanh, relu, sigmoid, identity"),
    ],
)
def test_show_refuses_what_a_recurrent_cell_or_another_has_not(darts, arguments, code, part):
    result = darts("show", *arguments)
    assert (result.code, part in result.err) == (code, True), result.err
    assert len(result.error_lines) <= 3


def test_derive_knows_recurrent_cells(darts, tmp_path):
    rows = [[0.0, 0, 0, 0, 0] for _ in range(6)]
    # Node 1 takes sigmoid, node 2 state 1 by tanh; node 3 the earlier of two equal states.
    rows[0][3] = rows[2][1] = rows[4][4] = rows[5][4] = 2.0
    # A strong `none` leaves little to the edge's other operations.
    rows[1] = [9.0, 0, 3, 0, 0]
    (file := tmp_path / "alphas.json").write_text(json.dumps({"recurrent": rows}))
    text = "Genotype(recurrent=[('sigmoid', 0), ('tanh', 1), ('identity', 1)], concat=[1, 2, 3])"
    assert darts("derive", file).out.strip() == text
    assert json.loads(darts("derive", file, "--json").out)["text"] == text
    rows[1][0] = 0.0
    file.write_text(json.dumps({"recurrent": [row[1:] for row in rows]}))
    assert "('relu', 0), ('identity', 1)" in darts("derive", file).out
    for wrong, part in (([[0.0] * 5] * 4, "not 4"), ([[0.0] * 6] * 3, "6 numbers, not 5")):
        file.write_text(json.dumps({"recurrent": wrong}))
        result = darts("derive", file)
        assert (result.code, part in result.err) == (4, True), result.err
