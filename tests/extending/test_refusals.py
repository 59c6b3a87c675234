"""What packages get wrong is named in three lines, and nothing else suffers from it."""

import subprocess
import sys
from pathlib import Path

import pytest
from dashboard_kit import a_run, screen_text, story, watching
from package_kit import install

from darts_engine.run import events, extensions
from darts_engine.run.architecture.spaces import spec_of
from darts_engine.run.errors import ExtensionError, NotFoundError
from darts_engine.run.extensions import DATA, PANELS, RELAXATIONS, SPACES, THEMES
from darts_engine.run.folder import create
from darts_engine.run.log import EventLog
from darts_engine.run.settings import catalog, methods
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import SearchConfig
from darts_tui.cli import main

SPEC = """
from darts_engine.run.architecture.spaces import SpaceSpec
SPEC = SpaceSpec("a paper", ("skip_connect", "sep_conv_3x3"), 2, 0, build=lambda config: config)
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that packages are installed in."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import sys\nsys.exit(9)", "cannot be imported: SystemExit: 9"),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
        ("def", "cannot be imported: SyntaxError: invalid syntax"),
        ("import missing_module_x", "ModuleNotFoundError: No module named 'missing_module_x'"),
        ("", "AttributeError"),
        ("SPEC = 3", "is no SpaceSpec with a build"),
    ],
)
def test_a_space_that_cannot_be_imported_is_three_lines(
    site: Path, capsys: pytest.CaptureFixture[str], text: str, what: str
) -> None:
    # Python keeps modules by name: each case has its own.
    module = f"bad_space_{abs(hash(text))}"
    install(site, "bad-one", {f"{module}.py": text}, {SPACES: {"odd": f"{module}:SPEC"}})
    assert main.run(["spaces", "odd"]) == 4
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("the search space 'odd' ")
    assert what in lines[0]
    assert lines[1] == f"odd = {module}:SPEC, of the package bad-one 1.0"
    assert len(lines) == 3


def test_what_cannot_be_called_is_named_with_its_package() -> None:
    number = extensions.Extension(RELAXATIONS, "seven", "sevens:SEVEN", "sevens", "1.0")
    with pytest.raises(ExtensionError, match="the relaxation 'seven' cannot be called") as refused:
        number.call(7)
    assert "of the package sevens 1.0" in refused.value.where


def test_listing_names_imports_nothing(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(site, "bad-one", {"bad_listed.py": "1 / 0"}, {SPACES: {"odd": "bad_listed:SPEC"}})
    assert main.run(["spaces"]) == 0
    assert "added by the package bad-one 1.0" in capsys.readouterr().out
    assert "bad_listed" not in sys.modules


@pytest.mark.slow
def test_a_space_brings_no_torch_into_the_terminals_process(site: Path) -> None:
    files = {"heavy_space.py": "import torch\n" + SPEC, "light_space.py": SPEC}
    points = {SPACES: {"heavy": "heavy_space:SPEC", "light": "light_space:SPEC"}}
    install(site, "mine", files, points)
    code = """
import sys
from darts_engine.run.architecture.spaces import spec_of
from darts_engine.run.errors import ExtensionError
assert spec_of("light").per_edge == 2
try:
    spec_of("heavy")
except ExtensionError as error:
    print(error)
assert "torch" not in sys.modules and "numpy" not in sys.modules
import torch
"""
    program = f"import sys; sys.path.insert(0, {str(site)!r})\n{code}"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "the search space 'heavy' imports torch"
    assert lines[2] == "import it in the function that needs it, not above"


def test_the_name_of_a_built_in_one_is_refused_by_name(
    site: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = {
        SPACES: {"darts": "mine:SPEC"},
        RELAXATIONS: {"softmax": "mine:Softmax"},
        DATA: {"digits": "mine:load"},
    }
    install(site, "mine", {}, points)
    assert main.run(["spaces"]) == 0
    printed = capsys.readouterr()
    assert "the search space 'darts' is built in" in printed.err.splitlines()[0]
    assert printed.out.count("darts  ") == 1
    for kind, table, name in (
        ("search space", catalog.SPACES, "darts"),
        ("data set", catalog.DATASETS, "digits"),
    ):
        with pytest.raises(ExtensionError, match=f"the {kind} '{name}' is built in"):
            catalog.resolve(kind, table, name)
    with pytest.raises(ExtensionError, match="the relaxation 'softmax' is built in"):
        methods.added("relaxation", "softmax")
    assert main.run(["search", "--runs", str(runs), "--dataset", "npz:none"]) == 4
    assert list(runs.iterdir()) == []


def test_two_packages_of_one_name_are_both_named(site: Path) -> None:
    for package in ("one", "other"):
        install(site, package, {}, {SPACES: {"mine": f"{package}:SPEC"}})
    with pytest.raises(ExtensionError, match=r"also added by the package other 1\.0") as caught:
        spec_of("mine")
    assert "one 1.0" in str(caught.value)
    assert "mine" not in catalog.names(catalog.SPACES)


def test_an_impossible_name_is_refused(site: Path) -> None:
    install(site, "mine", {}, {DATA: {"\x1b[31m": "mine:load"}})
    (why,) = extensions.refused(DATA)
    assert "impossible name" in why.what
    assert extensions.names(DATA) == []


def test_the_current_directory_is_not_consulted(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "mine", {"cwd_space.py": SPEC}, {SPACES: {"mine": "cwd_space:SPEC"}})
    assert extensions.names(SPACES) == ["mine"]
    monkeypatch.chdir(site)
    monkeypatch.syspath_prepend("")
    assert extensions.names(SPACES) == []
    with pytest.raises(NotFoundError, match="no installed package adds it"):
        catalog.entry("search space", catalog.SPACES, "mine")


def test_nothing_is_read_for_a_name_that_is_built_in(site: Path) -> None:
    code = """
import sys
from darts_engine.run.settings import config
config.override(config.SearchConfig(), {"space.space": "s1", "method.relaxation": "gumbel"})
from darts_engine.run import events, extensions
assert extensions._read.cache_info().currsize == 0
"""
    subprocess.run([sys.executable, "-P", "-c", code], check=True, timeout=60)


def test_resuming_a_run_whose_package_is_gone_names_what_is_missing(
    tmp_path: Path, runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = install(
        tmp_path / "site", "mine", {"gone_space.py": SPEC}, {SPACES: {"gone": "gone_space:SPEC"}}
    )
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(site))
        run = create(runs, "own", configs.override(SearchConfig(), {"space.space": "gone"}))
    log = EventLog(run.events, run.torn_events)
    log.append(events.RunFailed(message="out of memory", exit_code=7))
    log.close()
    assert main.run(["resume", "own", "--runs", str(runs), "--detach"]) == 5
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [
        "there is no search space 'gone'",
        "it is not built in, and no installed package adds it",
    ]
    assert not run.engine_log.exists()


async def test_the_dashboard_opens_with_a_notice_for_each_that_fails(
    site: Path, runs: Path
) -> None:
    files = {
        "panels_x.py": "from darts_tui.dashboard.panels.panel import Content, Panel\n"
        "class Good(Panel):\n"
        "    TITLE = 'Good'\n"
        "    def content(self, view, width, height): return Content([])\n"
        "class Bad(Good):\n"
        "    TITLE = 'Bad'\n"
        "    def content(self, view, width, height): return 1 / 0\n"
        "class Unmade(Good):\n"
        "    def __init__(self): pass\n",
        "themes_x/wrong.toml": "name = 'other'",
    }
    points = {
        PANELS: {
            "good": "panels_x:Good",
            "bad": "panels_x:Bad",
            "unmade": "panels_x:Unmade",
            "none": "panels_x:Missing",
            "number": "sys:maxsize",
        },
        THEMES: {"wrong": "themes_x:wrong.toml", "dark": "themes_x:wrong.toml", "gone": "nope:x"},
    }
    install(site, "mine", files, points)
    with a_run(runs) as run:
        async with watching(run, story()) as (app, pilot):
            words = " ".join(notice.message for notice in app._notifications)
            for name in ("unmade", "none", "number", "wrong", "dark", "gone"):
                assert f"'{name}'" in words
            assert len(app._notifications) == 6
            await pilot.press("a")
            await pilot.pause()
            text = screen_text(app)
            assert "─ Good " in text
            assert "this panel failed: ZeroDivisionError" in text
            assert app.theme == "dark"
