"""Ten thousand fuzzed commands, genotypes, configurations and themes: read, or refused by name.

The suite tries some; `make fuzz` all.
"""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from effort import draws, times
from faulty.odd_files import in_time
from stories import official_logs
from tests.fuzz.damage import damaged, damaged_text, mutated
from tests.fuzz.harm import harmless, is_for_people

from darts_engine.run import commands, events
from darts_engine.run.architecture.forms.table import FORMS, write
from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.architecture.text import from_json, parse, published
from darts_engine.run.errors import ConfigError, DataError, GenotypeError, RunError
from darts_engine.run.folder import RunFolder
from darts_engine.run.settings import config
from darts_engine.runner import inbox
from darts_themes import ThemeError, theme
from darts_tui.runs import official_log, printed
from darts_tui.runs.alpha_files import Brought
from darts_tui.runs.alphas import derive_tables

# Whole steps of searches, or thousands of damaged inputs: the quick part does without them.
pytestmark = pytest.mark.slow

TRIES = times(300, full=10_000)
PIECES = (
    *("Genotype", "normal=", "(", ")", "[", "]", "{", "}", ",", "'", '"', "=", "\\", "\n", "#"),
    *("9" * 40, "-1", "1e999", "nan", "true", "null", "range(", "lambda: 0", "None", "__class__"),
    *("OrderedDict([", "np.int64(", "Structure(", "naslib:", "normal_n2:\n", "  chosen:\n", "!!"),
    *("\0", "\x1b[31m", "é", "\U0001f600", "\ud800", "[search]\n", "seed = ", '"""', "|", "~", "+"),
)
GENOTYPES = [one.genotype for one in published().values()]
CELL_201 = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_3x3~1|skip_connect~2|"


def _written() -> list[str]:
    """The catalogue in every form, and a log of three of its cells."""
    made = []
    for one in (*GENOTYPES, parse(CELL_201)):
        for form in FORMS:
            with contextlib.suppress(GenotypeError):
                made.append(write(one, form))
    log = [f"07/08 05:56:53 AM genotype = {one.text()}" for one in GENOTYPES[:3]]
    return [*made, "\n".join(log), "\n".join(f"V{k} = {line[30:]}" for k, line in enumerate(log))]


TEXTS = _written()
CONFIGS = [config.to_toml(kind()) for kind in config.KINDS.values()]
THEMES = [
    path.read_text("utf-8") for path in sorted(Path(theme.__file__).parent.glob("themes/*.toml"))
]


def _read_genotype(text: str) -> None:
    with contextlib.suppress(GenotypeError):
        found = parse(text)
        assert isinstance(found, Genotype)
        assert parse(found.text()) == found


def _read_config(text: str) -> None:
    # A method that does not exist is NotFoundError.
    try:
        found = config.from_toml(text)
    except RunError as error:
        is_for_people(error)
    else:
        assert config.from_toml(config.to_toml(found)) == found


def _read_theme(text: str) -> None:
    with contextlib.suppress(ThemeError):
        assert theme.parse(text, "mine.toml").heat


def _read_alphas(text: str) -> None:
    for group in printed.groups(text):
        with contextlib.suppress(GenotypeError):
            brought = Brought(group.tables, group.is_mixed)
            assert isinstance(derive_tables(brought, "text"), Genotype)


def _read_log(text: str) -> None:
    with contextlib.suppress(DataError):
        story = official_log.read(text, 2020)
        assert story.steps >= 1
        assert story.planned >= story.epochs[-1].number


LOGS = [official_logs.darts(), official_logs.pc_darts(), official_logs.pt_darts()]
READERS: dict[str, tuple[Callable[[str], None], list[str]]] = {
    "genotype": (_read_genotype, TEXTS),
    "printed alphas": (_read_alphas, LOGS[::2]),
    "official log": (_read_log, LOGS),
    "configuration": (_read_config, CONFIGS),
    "theme": (_read_theme, THEMES),
}


@pytest.mark.timeout(times(120, full=1800))
@pytest.mark.parametrize("kind", READERS)
def test_a_damaged_text_is_read_or_refused(kind: str, tmp_path: Path) -> None:
    read, good = READERS[kind]
    random = draws(kind)
    for text in good:
        read(text)
    with harmless(tmp_path):
        for _ in range(TRIES):
            text = damaged_text(random.choice(good), PIECES, random)
            with in_time(text):
                read(text)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(times(120, full=1800))
def test_a_genotype_or_configuration_of_odd_values_is_read_or_refused(tmp_path: Path) -> None:
    random = draws("odd values")
    plain = [config.to_plain(kind()) for kind in config.KINDS.values()]
    with harmless(tmp_path):
        for _ in range(TRIES):
            value = mutated(random.choice(GENOTYPES).to_json(), random)
            with in_time(value), contextlib.suppress(GenotypeError):
                from_json(value)
            value = mutated(random.choice(plain), random)
            with in_time(value), contextlib.suppress(ConfigError, RunError):
                config.from_plain(value if isinstance(value, dict) else {"search": value})


@pytest.mark.timeout(times(120, full=1800))
def test_a_damaged_command_is_obeyed_or_rejected_and_never_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = draws("commands")
    kinds = (commands.Pause, commands.Stop, commands.Checkpoint, commands.Discretise)
    run = RunFolder(tmp_path / "run")
    run.path.mkdir(mode=0o700)
    monkeypatch.setattr(inbox, "MAX_PER_SECOND", 10 * TRIES)
    rejected: list[events.Event] = []
    box, obeyed, lines = inbox.Inbox(run, rejected.append), 0, 0
    with harmless(tmp_path):
        for number in range(TRIES):
            good = commands.encode(commands.stamped(random.choice(kinds)))[:-1]
            if number % 2:
                line = msgspec.json.encode(mutated(json.loads(good), random))
            else:
                line = damaged(good, random)
            with run.commands.open("ab") as file:
                file.write(line + b"\n")
            lines += sum(bool(part.strip()) for part in line.split(b"\n"))
            with in_time(line):
                while command := box.take():
                    obeyed += 1
                    assert isinstance(command, commands.AnyCommand)
    assert obeyed + len(rejected) == lines
    assert {type(event) for event in rejected} == {events.CommandRejected}
    assert [path.name for path in run.path.iterdir()] == ["commands.jsonl"]
