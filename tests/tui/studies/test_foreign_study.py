"""A study's folder may have come from someone else too."""

import os
from pathlib import Path

import msgspec
import pytest

from darts_engine.run.errors import ExitCode, RunError, UnsafeFileError
from darts_engine.run.folder import RunFolder
from darts_engine.run.settings.config import SearchConfig
from darts_tui.studies.run_all import Job, finish
from darts_tui.studies.study import StudyFolder


class Plan(msgspec.Struct):
    """A plan of nothing."""


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    study = StudyFolder(tmp_path / "runs" / "study")
    study.make()
    return study


@pytest.mark.parametrize("name", ["plan.json", "protocol.lock"])
@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_what_is_no_plain_file_is_refused_at_once(
    study: StudyFolder, tmp_path: Path, name: str, kind: str
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("{}")
    path = study.path / name
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "link":
            path.symlink_to(precious)
        case "folder":
            path.mkdir()
    assert study.has_plan() == (name == "plan.json")
    open_it = study.held().__enter__ if name == "protocol.lock" else lambda: study.read_plan(Plan)
    with pytest.raises(UnsafeFileError, match=kind) as refusal:
        open_it()
    assert refusal.value.exit_code == ExitCode.REFUSED
    assert precious.read_text() == "{}"


def test_a_report_is_not_written_through_a_link(study: StudyFolder, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    study.report("md").symlink_to(precious)
    study.write_report({}, "# nothing")
    assert precious.read_text() == "precious"
    assert study.report("md").read_text() == "# nothing"


def test_a_study_is_its_owners_only(study: StudyFolder) -> None:
    for path in (study.path, study.runs):
        assert path.stat().st_mode & 0o777 == 0o700


def test_nothing_is_cleared_away_behind_a_link(study: StudyFolder, tmp_path: Path) -> None:
    precious = tmp_path / "elsewhere"
    (precious / "empty").mkdir(parents=True)
    (precious / "config.toml.tmp.1").write_text("precious")
    RunFolder(study.runs / "job").path.symlink_to(precious)
    with pytest.raises(RunError):
        finish(study.runs, [Job("job", SearchConfig())], 1, print)
    assert sorted(path.name for path in precious.iterdir()) == ["config.toml.tmp.1", "empty"]
