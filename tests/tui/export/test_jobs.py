import csv
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from fake_run import make_run, write
from fake_story import EDGES, OPERATIONS, made_up_events

from darts_engine.run import events
from darts_engine.run.architecture.genotype import CELLS
from darts_engine.run.architecture.layout import CellLayout
from darts_engine.run.architecture.text import published
from darts_engine.run.errors import RunError
from darts_engine.run.folder import RunFolder
from darts_engine.run.state import fold_all
from darts_tui.export import jobs, render
from darts_tui.export.jobs import NamedGenotype, export

DARTS_V2 = published()["DARTS_V2"].genotype


def names(report: jobs.Report) -> list[str]:
    assert all(path.is_file() for path in report.files)
    return [path.name for path in report.files]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def search(runs: Path) -> RunFolder:
    return make_run(runs, "digits", epochs_done=5, epochs=8, steps=4)


def test_a_live_search_gives_its_cells_as_of_now(search: RunFolder) -> None:
    report = export(search, formats=["svg", "dot"])
    assert names(report) == [
        "digits-epoch006-normal.svg",
        "digits-epoch006-normal.dot",
        "digits-epoch006-reduce.svg",
        "digits-epoch006-reduce.dot",
    ]
    assert report.messages == []
    assert report.files[0].parent == search.exports
    assert "digits, epoch 6, reduction cell" in report.files[3].read_text()


def test_an_epoch_gives_the_genotype_derived_by_then(search: RunFolder) -> None:
    state = fold_all(made_up_events(epochs_done=5, epochs=8, steps=4))
    for epoch in (1, 3):
        derived = state.genotype_at(epoch)
        assert derived is not None
        first = export(search, formats=["dot"], epoch=epoch).files[0]
        assert first.name == f"digits-epoch{epoch:03d}-normal.dot"
        drawn = re.findall(r"<TD>(.*?)</TD>", first.read_text())
        assert drawn == [edge.operation for edge in derived.genotype.edges("normal")]


def test_a_finished_search_gives_its_final_cells_without_an_epoch(runs: Path) -> None:
    run = make_run(runs, "done", phase="finished", epochs=3, steps=3)
    assert names(export(run, formats=["dot"])) == ["done-normal.dot", "done-reduce.dot"]


@pytest.mark.slow
def test_alphas_are_a_heatmap_per_cell_and_a_table_of_every_number(search: RunFolder) -> None:
    report = export(search, what=["alphas"], formats=["svg"], epoch=2)
    assert names(report) == [
        "digits-epoch002-alphas-normal.svg",
        "digits-epoch002-alphas-normal-over-epochs.svg",
        "digits-epoch002-alphas-reduce.svg",
        "digits-epoch002-alphas-reduce-over-epochs.svg",
        "digits-alphas.csv",
    ]
    text = "".join(ET.parse(report.files[0]).getroot().itertext())
    assert "digits, normal cell, epoch 2" in text
    assert all(operation in text for operation in OPERATIONS)
    assert "● cₖ₋₂ → 0" in text
    past = "".join(ET.parse(report.files[1]).getroot().itertext())
    assert all(edge in past for edge in ("cₖ₋₂ → 0", "cₖ₋₁ → 3", "2 → 3"))
    samples = [f for f in made_up_events(epochs_done=5, epochs=8, steps=4)
               if isinstance(f, events.AlphaSampled)]  # fmt: skip
    table = rows(report.files[4])
    assert len(table) == len(samples) * len(CELLS) * len(EDGES) * len(OPERATIONS)
    place = len(OPERATIONS) * 4 + 6
    assert table[place] == {
        "epoch": "1", "step": str(samples[0].step), "global_step": str(samples[0].global_step),
        "cell": "normal", "source": str(EDGES[4][0]), "target": str(EDGES[4][1]),
        "operation": "dil_conv_3x3", "alpha": str(samples[0].alphas["normal"][4][6]),
        "weight": str(samples[0].weights["normal"][4][6]),
    }  # fmt: skip


def test_work_that_was_done_again_is_in_the_table_once(search: RunFolder) -> None:
    story = made_up_events(epochs_done=5, epochs=8, steps=4)
    known = next(f.seq for f in story if isinstance(f, events.CheckpointSaved) and f.epoch == 2)
    again = events.Rewound(
        seq=len(story) + 1, to_seq=known, to_step=8, to_epoch=2, checkpoint="checkpoints/2"
    )
    redone = [msgspec.structs.replace(f, seq=again.seq + 1 + i) for i, f in enumerate(story[known:])
              if isinstance(f, events.AlphaSampled) and f.epoch == 3]  # fmt: skip
    write(search, [*story, again, *redone])
    table = rows(export(search, what=["alphas"], formats=["dot"]).files[-1])
    moments = [(row["epoch"], row["step"]) for row in table]
    assert set(moments) == {(epoch, step) for epoch in "123" for step in "24"}
    assert moments.count(("3", "4")) == moments.count(("2", "4"))


def test_curves_are_a_picture_and_a_table_of_epochs(search: RunFolder) -> None:
    report = export(search, what=["curves"], formats=["svg", "png", "pdf"])
    formats = ("svg", "png", "pdf")
    pictures = [f"digits-{name}.{kind}" for name in ("curves", "health") for kind in formats]
    assert names(report) == [*pictures, "digits-curves.csv", "digits-health.csv"]
    text = "".join(ET.parse(report.files[0]).getroot().itertext())
    assert all(word in text for word in ("loss", "validation", "best", "lr", "epoch"))
    assert report.files[1].read_bytes().startswith(b"\x89PNG")
    assert report.files[2].read_bytes().startswith(b"%PDF")
    table = rows(report.files[6])
    assert [row["epoch"] for row in table] == ["1", "2", "3", "4", "5"]
    finished = [f for f in made_up_events(epochs_done=5, epochs=8, steps=4)
                if isinstance(f, events.EpochFinished)]  # fmt: skip
    assert float(table[4]["valid_top1"]) == finished[4].valid_top1
    assert {"train_loss", "train_top5", "auxiliary_loss", "images_per_s"} <= set(table[0])


def test_a_training_gives_its_cells_and_curves_but_has_no_alphas(runs: Path) -> None:
    run = make_run(runs, "fit", kind="train", epochs_done=2, epochs=4, steps=3)
    report = export(run, what=["cells", "curves"], formats=["svg"])
    assert names(report) == [
        "fit-normal.svg", "fit-reduce.svg", "fit-curves.svg", "fit-curves.csv",
    ]  # fmt: skip
    assert "test" in "".join(ET.parse(report.files[2]).getroot().itertext())
    with pytest.raises(RunError, match="a training has no alphas"):
        export(run, what=["alphas"])


def test_all_is_whatever_there_is(search: RunFolder, runs: Path) -> None:
    given = set(names(export(search, what=["all"], formats=["dot"])))
    assert {"digits-alphas.csv", "digits-curves.csv"} <= given
    assert sum(name.endswith(("-normal.dot", "-reduce.dot")) for name in given) == 2
    training = make_run(runs, "fit", kind="train", epochs_done=2, epochs=4, steps=3)
    assert names(export(training, what=["all"], formats=["dot"])) == [
        "fit-normal.dot", "fit-reduce.dot", "fit-curves.csv",
    ]  # fmt: skip
    begun = make_run(runs, "begun", epochs_done=0, epochs=4, steps=3)
    write(begun, made_up_events(epochs_done=0, epochs=4, steps=3)[:1])
    with pytest.raises(RunError, match="nothing to export yet"):
        export(begun, what=["all"])


def test_a_named_genotype_gives_files_with_a_safe_name(tmp_path: Path) -> None:
    target = NamedGenotype("../../etc/\x1b[31mpasswd €", DARTS_V2)
    report = export(target, formats=["dot"], out=tmp_path / "new" / "folder")
    assert names(report) == ["etc-31mpasswd-normal.dot", "etc-31mpasswd-reduce.dot"]
    assert {path.parent for path in report.files} == {tmp_path / "new" / "folder"}
    with pytest.raises(RunError, match="cells only"):
        export(target, what=["curves"], out=tmp_path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"what": ["cell"]}, "'cell'.*\n.*cells"),
        ({"formats": ["jpg"]}, "'jpg'.*\n.*svg, png, pdf, dot"),
        ({"formats": []}, "no format was named"),
        ({"epoch": 0}, "no epoch 0"),
        ({"epoch": 7}, "no epoch 7(.|\n)*epoch 6"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    search: RunFolder, wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(RunError, match=message):
        export(search, **wrong)  # type: ignore[arg-type]
    assert not list(search.exports.iterdir())


def test_a_run_without_alphas_yet_says_when_to_try_again(search: RunFolder) -> None:
    story = made_up_events(epochs_done=1)
    write(search, story[:2])
    for what in ("cells", "alphas"):
        with pytest.raises(RunError, match="try again"):
            export(search, what=[what])
    assert names(export(search, what=["curves"], formats=["svg"]))
    write(search, [])
    with pytest.raises(RunError, match="not started"):
        export(search)


def test_when_nothing_can_draw_the_graphviz_text_is_left(
    search: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, "renderers", lambda picture: [])
    report = export(search, formats=["svg", "png"])
    assert names(report) == ["digits-epoch006-normal.dot", "digits-epoch006-reduce.dot"]
    assert len(report.messages) == 2
    assert "apt install graphviz" in report.messages[0]


def test_files_are_private_replace_links_and_leave_no_scraps(
    search: RunFolder, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (search.exports / "digits-epoch006-normal.dot").symlink_to(victim)
    report = export(search, formats=["dot"])
    assert victim.read_text() == "mine"
    assert stat.S_IMODE(report.files[0].lstat().st_mode) == 0o600
    assert sorted(os.listdir(search.exports)) == sorted(names(report))


def test_an_exports_folder_that_leads_elsewhere_is_refused(
    search: RunFolder, tmp_path: Path
) -> None:
    search.exports.rmdir()
    search.exports.symlink_to(tmp_path)
    with pytest.raises(RunError, match="symbolic link"):
        export(search, formats=["dot"])


def test_a_folder_that_cannot_be_made_says_so(search: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="--out"):
        export(search, formats=["dot"], out=tmp_path / "file")


def test_a_log_with_nonsense_cells_is_refused_not_drawn(search: RunFolder) -> None:
    story = made_up_events(epochs_done=2)
    started = story[0]
    assert isinstance(started, events.RunStarted)
    layout = CellLayout(name="normal", edges=[(-9, 2)] * 14, operations=OPERATIONS)
    write(search, [msgspec.structs.replace(started, cells=[layout]), *story[1:]])
    with pytest.raises(RunError, match="another shape"):
        export(search, what=["alphas"])


def test_exporting_needs_neither_numpy_nor_matplotlib_in_this_process() -> None:
    code = (
        "import sys, darts_tui.export.jobs;"
        "print([m for m in ('numpy', 'matplotlib', 'torch', 'pygraphviz', 'textual', 'rich') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("space", "parts"),
    [
        pytest.param("nasbench201", ["cell"], marks=pytest.mark.slow),
        ("1shot1-1", ["operations", "parents"]),
        pytest.param("nasnet-like", ["normal", "reduce"], marks=pytest.mark.slow),
    ],
)
def test_every_space_gives_its_cells_alphas_and_tables(
    runs: Path, space: str, parts: list[str]
) -> None:
    run = make_run(runs, "run", space=space, epochs_done=2, epochs=4, steps=3)
    report = export(run, what=["all"], formats=["svg"])
    stems = [f"run-epoch003-alphas-{part}" for part in parts]
    assert report.messages == []
    assert {f"{s}{end}.svg" for s in stems for end in ("", "-over-epochs")} <= set(names(report))
    table = rows(run.exports / "run-alphas.csv")
    assert {row["cell"] for row in table} == set(parts)
    assert all(row["alpha"] and row["weight"] for row in table)


def test_a_parent_is_a_source_and_a_nodes_operation_has_none(runs: Path) -> None:
    run = make_run(runs, "run", space="1shot1-1", epochs_done=1, epochs=4, steps=2)
    export(run, what=["alphas"], formats=["dot"])
    found = rows(run.exports / "run-alphas.csv")
    first = [row for row in found if row["global_step"] == found[0]["global_step"]]
    operations = [row for row in first if row["cell"] == "operations"]
    parents = [row for row in first if row["cell"] == "parents"]
    assert (len(operations), len(parents)) == (4 * 3, 3 + 4 + 5)
    assert {row["source"] for row in operations} == {""}
    assert [(row["source"], row["target"]) for row in parents[:4]] == [
        ("0", "3"), ("1", "3"), ("2", "3"), ("0", "4"),
    ]  # fmt: skip
