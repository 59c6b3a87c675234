"""`darts-tui evaluate`: a network's accuracy on test images as text, tables and pictures."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from darts_engine.run.answers import Evaluation
from darts_engine.run.errors import ConfigError
from darts_engine.run.folder import RunFolder, find
from darts_engine.run.settings.config import Config, SearchConfig, override
from darts_engine.run.settings.search_on_text import reads_text
from darts_tui.commands import start
from darts_tui.console.safe_text import clean
from darts_tui.launch.child_program import run_with_config

SHOWN_CLASSES = 20
# Files are written here where there is no run whose folder could hold them.
HERE = Path()
_PARTS = {"test": "test", "valid": "validation"}


class Subject(msgspec.Struct, frozen=True):
    """The network to evaluate, and how.

    Attributes:
        folder: the run; None for weights from elsewhere alone.
        config: names the network and the data set.
        weights: a file in the official layout; None for the run's checkpoint.
        checkpoint: "best" or "last".
    """

    folder: RunFolder | None
    config: Config
    weights: Path | None
    checkpoint: str = "best"

    @property
    def name(self) -> str:
        """The name of its weights or of its run."""
        if self.weights is not None:
            return self.weights.stem
        assert self.folder is not None
        return self.folder.name


def subject(
    run: str | None,
    runs: Path,
    weights: Path | None,
    checkpoint: str,
    given: dict[str, Any],
    operations: Mapping[str, str] | None = None,
) -> Subject:
    """The network that the command line names.

    Args:
        run: name of a run; None is the newest run, unless there are weights.
        runs: the folder of runs.
        weights: a file in the official layout.
        checkpoint: "best" or "last".
        given: settings, by dotted key, on top of the run's.
        operations: known names of operations by those that a genotype's text has.

    Raises:
        ConfigError: the options name no network, or contradict the run's.
        RunError: the run or its genotype cannot be found or read.
    """
    if run is None and weights is not None:
        if not {"network.genotype", "network.network"} & given.keys():
            raise ConfigError(
                "weights alone do not tell their network",
                where=str(weights),
                remedy="name it with --genotype (and --channels, --layers, --width), or name a RUN",
            )
        config = start.train_config(None, given, runs, operations)
        return Subject(None, _in_one_column(config, given), weights)
    folder = find(runs, run)
    of_network = [key for key in given if key.startswith("network.") or key == "text.width"]
    if of_network:
        raise ConfigError(
            f"{of_network[0]} is not to be chosen: the run has its network",
            where=folder.name,
            remedy="leave out RUN to evaluate --weights of another network",
        )
    own = folder.read_config()
    if isinstance(own, SearchConfig) and weights is not None:
        raise ConfigError(
            "a search has no derived network to put the weights into",
            where=folder.name,
            remedy=f"leave out RUN and say --genotype run:{folder.name}",
        )
    return Subject(folder, _in_one_column(override(own, given), given), weights, checkpoint)


def _in_one_column(config: Config, given: dict[str, Any]) -> Config:
    """Of text, the config that reads it from its beginning to its end, as the official test does.

    More columns are faster, and each begins without knowing what comes before. A supernet keeps the
    columns of its own validation, whose statistics its batch norm takes.
    """
    is_supernet = isinstance(config, SearchConfig)
    if not reads_text(config) or is_supernet or "text.eval_batch" in given:
        return config
    return override(config, {"text.eval_batch": 1})


def known_formats(names: list[str]) -> list[str]:
    """The same names, if all are formats of pictures.

    Raises:
        ConfigError: one is not.
    """
    from darts_tui.export.render import FORMATS

    for name in names:
        if name not in FORMATS:
            raise ConfigError(f"there is no format {name!r}", remedy=f"use {', '.join(FORMATS)}")
    return names


def evaluate(chosen: Subject) -> Evaluation:
    """Evaluate a network, in a child process.

    Raises:
        ChildError: the evaluation failed; has the message and the exit code.
    """
    return msgspec.json.decode(answer_of(chosen), type=Evaluation)


def answer_of(chosen: Subject, more: Sequence[str] = ()) -> bytes:
    """The JSON that the program writes, with `more` arguments.

    Raises:
        ChildError: the evaluation failed; has the message and the exit code.
    """
    arguments: list[str | Path] = ["--checkpoint", chosen.checkpoint, *more]
    if chosen.folder is not None:
        arguments += ["--run", chosen.folder.path]
    if chosen.weights is not None:
        arguments += ["--weights", chosen.weights]
    return run_with_config("evaluate", chosen.config, arguments)


def write(
    chosen: Subject, found: Evaluation, formats: Collection[str], out: Path | None
) -> tuple[list[Path], list[str]]:
    """Write the confusion matrix as pictures and a table. Returns files, and messages about them.

    Raises:
        RunError: the folder cannot be written, or a format is unknown.
    """
    from darts_tui.export import confusion, pictures
    from darts_tui.export.files import open_folder, safe_stem

    folder = out or (chosen.folder.exports if chosen.folder else HERE)
    own = out is None and chosen.folder is not None
    stem = safe_stem(chosen.name)
    if chosen.folder and found.dataset != chosen.folder.read_config().data.dataset:
        stem = safe_stem(f"{stem}-on-{Path(found.dataset).stem}")
    title = f"{chosen.name}: {found.images:,} {_PARTS[found.part]} images of {found.dataset}"
    if found.test_top1 is not None:
        title += f", top-1 {found.test_top1:.2f} %"
    picture = pictures.Confusion(
        title=clean(title, 160),
        classes=[clean(name, 24) for name in found.per_class],
        counts=found.confusion,
    )
    return confusion.write(picture, f"{stem}-confusion", formats, open_folder(folder, own=own))


def text(chosen: Subject, found: Evaluation) -> str:
    """For people."""
    after = f", after epoch {found.epoch}" if found.epoch is not None else ""
    divergence, word = _figure(found.test_divergence, "8.4f"), _PARTS[found.part]
    lines = [
        f"{clean(chosen.name)}: {clean(found.source)}{after}",
        f"{found.images:,} {word} images of {clean(found.dataset)}",
        "",
        f"{f'{found.part} loss':<10} {_figure(found.test_loss, '8.4f')} nats",
        *([] if found.test_divergence is None else [f"divergence {divergence} nats"]),
        f"top-1      {_figure(found.test_top1, '8.2f')} %",
        f"top-5      {_figure(found.test_top5, '8.2f')} %",
        "",
    ]
    names = [clean(name, 24) for name in found.per_class]
    rows, scores = list(range(len(names))), list(found.per_class.values())
    if len(rows) > SHOWN_CLASSES:
        rows.sort(key=lambda row: 101.0 if scores[row] is None else scores[row] or 0.0)
        rows = rows[:SHOWN_CLASSES]
        lines.append(f"the {SHOWN_CLASSES} worst of {len(names)} classes (--json has all)")
    wide = max(5, *(len(names[row]) for row in rows))
    lines.append(f"{'class':{wide}}  images   top-1 %  most often taken for")
    for row in rows:
        counts = found.confusion[row]
        score = _figure(scores[row], "8.2f")
        line = f"{names[row]:{wide}}  {sum(counts):>6,}  {score}  {_rival(counts, row, names)}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def _rival(counts: list[int], row: int, names: list[str]) -> str:
    others = [0 if place == row else count for place, count in enumerate(counts)]
    most = max(others, default=0)
    return f"{names[others.index(most)]} ({most})" if most else ""


def _figure(value: float | None, form: str) -> str:
    return f"{value:{form}}" if value is not None else f"{'–':>8}"


def as_plain(found: Evaluation, files: list[Path]) -> dict[str, Any]:
    """For programs; the confusion matrix is in the CSV file."""
    plain: dict[str, Any] = msgspec.to_builtins(found)
    del plain["confusion"]
    return plain | {"files": [str(file) for file in files]}
