"""Epochs as Parquet, read back by pyarrow."""

from pathlib import Path
from typing import Any

import pytest
from fake_run import make_run
from fake_story import made_up_events
from stories.recurrent import make_text_run

from darts_engine.run import events
from darts_engine.run.errors import ConfigError, RunError
from darts_tui.export import parquet
from darts_tui.export.jobs import export


def read(file: Path) -> dict[str, list[Any]]:
    files: Any = pytest.importorskip("pyarrow.parquet", reason="the package pyarrow is not here")
    found: dict[str, list[Any]] = files.read_table(file).to_pydict()
    return found


def test_every_epoch_is_a_row_with_its_figures(runs: Path) -> None:
    pytest.importorskip("pyarrow", reason="the package pyarrow is not here")
    run = make_run(runs, "digits", epochs_done=4, epochs=6, steps=4)
    (file,) = export(run, what=["parquet"]).files
    assert file == run.exports / "digits-epochs.parquet"
    table = read(file)
    done = [
        event
        for event in made_up_events(epochs_done=4, epochs=6, steps=4)
        if isinstance(event, events.EpochFinished)
    ]
    assert table["run"] == ["digits"] * 4
    assert table["kind"] == ["search"] * 4
    for name in ("epoch", "global_step", "train_loss", "valid_top1", "is_best", "images_per_s"):
        assert table[name] == [getattr(event, name) for event in done], name
    assert all(isinstance(value, float) for value in table["entropy/normal"])
    assert table["valid_perplexity"] == [None] * 4


def test_a_run_on_text_has_perplexities(runs: Path) -> None:
    pytest.importorskip("pyarrow", reason="the package pyarrow is not here")
    run = make_text_run(runs, "verses", kind="train", epochs_done=3, epochs=6)
    table = read(export(run, what=["parquet"]).files[0])
    assert all(table["valid_perplexity"])
    assert table["valid_top1"] == [None] * 3


def test_without_the_package_it_is_refused_before_anything_is_written(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet.importlib.util, "find_spec", lambda _: None)
    run = make_run(runs, "digits", epochs_done=4, epochs=6, steps=4)
    with pytest.raises(ConfigError, match="needs a package that is not here") as refused:
        export(run, what=["curves", "parquet"])
    assert refused.value.remedy.startswith("pip install pyarrow")
    assert not run.exports.exists() or not list(run.exports.iterdir())


def test_a_failure_of_the_package_is_told_in_a_sentence() -> None:
    with pytest.raises(RunError, match="could not be made"):
        parquet.content([parquet.Column("a", "no_such_type", [1])])
