"""Reads the logs of official codes: of DARTS and its descendants (PC-DARTS, P-DARTS), and pt.darts.

Their lines are the same in most forks: `epoch 3 lr 2.4e-02`, `train 050 1.9e+00 27.9 79.2`,
`valid_acc 50.2`; or `Train: [ 3/50] Step 050/390 Loss 1.934 Prec@(1,5) (27.9%, 79.2%)`. What a line
tells is kept by epoch; what is no such line is passed over.
"""

import bisect
import calendar
import math
import re
from dataclasses import dataclass, field
from typing import NamedTuple

from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.architecture.text import MAX_TEXT, parse
from darts_engine.run.errors import DataError, GenotypeError
from darts_tui.runs import printed

MAX_EPOCHS, MAX_GENOTYPES = 10_000, 50_000
_NUMBER = r"([-+]?(?:[0-9.]{1,30}(?:e[-+]?[0-9]{1,3})?|nan|inf))"
_TIME = re.compile(
    r"\W{0,3}(?:([0-9]{4})[-/])?([0-9]{2})[-/]([0-9]{2})[ T]+([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:[.,][0-9]{1,6})?\s*([AP]M)?"
)
_EPOCH = re.compile(rf"\bepoch:? {{1,9}}([0-9]{{1,5}}),? {{1,9}}lr:? {{1,9}}\[?{_NUMBER}", re.I)
_STEP = re.compile(
    rf"\b(train|valid)(?: step:)? {{1,9}}([0-9]{{1,7}})(?: objs:)? {{1,9}}{_NUMBER}"
    rf"(?: r1:)? {{1,9}}{_NUMBER}(?:(?: r5:)? {{1,9}}{_NUMBER})?\s*\Z",
    re.I,
)
_FIGURE = re.compile(rf"\b(train|valid)_(acc|obj|loss)(?:_top1)?:? {{1,9}}{_NUMBER}", re.I)
_KHAN_STEP = re.compile(
    r"\b(Train|Valid): \[ *([0-9]{1,5})/ *([0-9]{1,5})\] Step ([0-9]{1,7})/([0-9]{1,7}) "
    rf"Loss {_NUMBER} Prec@\(1,5\) \({_NUMBER}%, {_NUMBER}%\)"
)
_KHAN_END = re.compile(
    rf"\b(Train|Valid): \[ *([0-9]{{1,5}})/ *([0-9]{{1,5}})\] Final Prec@1 {_NUMBER}%"
)
_SETTING = re.compile(
    r"\b(epochs|batch_size|init_channels|layers|seed|set|dataset|arch)=['\"]?([\w.-]{1,40})", re.I
)
_PARAMETERS = re.compile(rf"param(?:eter)? size = {_NUMBER} ?MB", re.I)


class Step(NamedTuple):
    """A reported step, from 1: means since the epoch's beginning; top-1 and top-5 in percent."""

    step: int
    loss: float | None
    top1: float | None
    top5: float | None
    t: float


@dataclass
class Epoch:
    """What a log tells of an epoch, from 1. `genotypes` and `alphas` come with their step."""

    number: int
    t: float
    lr: float | None = None
    train: list[Step] = field(default_factory=list)
    valid: list[Step] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    genotypes: list[tuple[int, Genotype]] = field(default_factory=list)
    alphas: list[tuple[int, printed.Group]] = field(default_factory=list)
    end: float = 0.0

    @property
    def is_trained(self) -> bool:
        """Whether the log has told how its training ended."""
        return "train_acc" in self.figures


@dataclass
class Story:
    """A log as a whole: settings as they are printed, in lower case, and the epochs in order."""

    epochs: list[Epoch] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    planned: int = 0
    steps: int = 0
    parameters: int = 0
    notes: list[str] = field(default_factory=list)
    genotype: Genotype | None = None


def read(text: str, year: int) -> Story:
    """The story that a log tells.

    Args:
        text: of the log.
        year: when it was written, as most logs have none.

    Raises:
        DataError: the log has no epoch in it.
    """
    reader = _Reader(year, printed.groups(text))
    place = 0
    for line in text.splitlines(keepends=True):
        reader.alphas_before(place)
        reader.take(line[:MAX_TEXT].rstrip())
        place += len(line)
    reader.alphas_before(place)
    return reader.told()


class _Reader:
    """Takes a log line by line."""

    def __init__(self, year: int, groups: list[printed.Group]) -> None:
        self.story, self.year, self.now = Story(), year, 0.0
        self.groups, self.next_group = groups, 0
        # What stands before the epoch that it is of.
        self.early: list[Genotype | printed.Group] = []
        self.shift, self.last_count, self.genotypes = 0, 0, 0
        self.is_from_zero: bool | None = None

    @property
    def epoch(self) -> Epoch | None:
        """The epoch that lines are of now."""
        return self.story.epochs[-1] if self.story.epochs else None

    def alphas_before(self, place: int) -> None:
        """Take the printed alphas that begin before a place of the text."""
        end = bisect.bisect_left(self.groups, place, key=lambda group: group.start)
        for group in self.groups[self.next_group : end]:
            # pt.darts prints an epoch's alphas before the epoch's first line.
            if self.epoch is None or self.epoch.is_trained:
                self.early.append(group)
            else:
                self.epoch.alphas.append((_at(self.epoch), group))
        self.next_group = max(end, self.next_group)

    def take(self, line: str) -> None:
        """What one line tells."""
        if time := _TIME.match(line):
            self._take_time(time)
        # Looking for a word first is much faster, and most lines have none.
        small = line.lower()
        is_khan = "ain: [" in line or "lid: [" in line
        if "epoch" in small and (match := _EPOCH.search(line)):
            self._begin(int(match[1]), _number(match[2]), is_counted_from_one=False)
        elif is_khan and (match := _KHAN_STEP.search(line)):
            self._begin(int(match[2]), None, is_counted_from_one=True)
            self.story.planned = int(match[3])
            self.story.steps = max(
                self.story.steps, int(match[5]) + 1 if match[1] == "Train" else 0
            )
            self._step(match[1], int(match[4]), match[6], match[7], match[8])
        elif is_khan and (match := _KHAN_END.search(line)):
            self._begin(int(match[2]), None, is_counted_from_one=True)
            self._figure(f"{match[1].lower()}_acc", match[4])
        elif ("train" in small or "valid" in small) and (match := _STEP.search(line)):
            self._step(match[1], int(match[2]), match[3], match[4], match[5])
        elif "enotype(" in line or "'normal'" in line:
            self._take_genotype(line)
        elif "_" in line:
            for kind, what, written in _FIGURE.findall(line):
                self._figure(
                    f"{kind.lower()}_{'acc' if what.lower() == 'acc' else 'loss'}", written
                )
        if self.epoch:
            self.epoch.end = self.now
        elif "=" in line:
            for name, value in _SETTING.findall(line):
                self.story.settings.setdefault(name.lower(), value)
        if "size" in small and (match := _PARAMETERS.search(line)):
            self.story.parameters = round((_number(match[1]) or 0.0) * 1e6)

    def _take_time(self, match: re.Match[str]) -> None:
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
        hour = hour % 12 + 12 * (match[7] == "PM") if match[7] else hour
        if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24):
            return
        stamp = calendar.timegm((year or self.year, month, day, hour, minute, second))
        if not year and stamp < self.now - 86_400 * 300:
            # A year went by: the log names none.
            self.year += 1
            stamp = calendar.timegm((self.year, month, day, hour, minute, second))
        self.now = max(self.now, float(stamp))

    def _begin(self, count: int, lr: float | None, *, is_counted_from_one: bool) -> None:
        if self.epoch and is_counted_from_one and count == self.last_count:
            return
        if self.is_from_zero is None:
            self.is_from_zero = not is_counted_from_one and count == 0
        if self.epoch and count <= self.last_count:
            self.shift = self.epoch.number - count + (0 if self.is_from_zero else 1)
            self.story.notes.append(
                f"epochs are counted anew after epoch {self.epoch.number}; they go on from there"
            )
        self.last_count = count
        number = count + self.is_from_zero + self.shift
        if len(self.story.epochs) >= MAX_EPOCHS:
            raise DataError(f"the log has more than {MAX_EPOCHS} epochs")
        epoch = Epoch(number, self.now, lr)
        for early in self.early:
            if isinstance(early, Genotype):
                epoch.genotypes.append((0, early))
            else:
                epoch.alphas.append((0, early))
        self.early = []
        self.story.epochs.append(epoch)

    def _step(self, kind: str, step: int, loss: str, top1: str, top5: str | None) -> None:
        if self.epoch is None:
            return
        steps = self.epoch.train if kind.lower() == "train" else self.epoch.valid
        reported = Step(step + 1, _number(loss), _number(top1), _number(top5 or ""), self.now)
        if not steps or reported.step > steps[-1].step:
            steps.append(reported)

    def _figure(self, name: str, written: str) -> None:
        value = _number(written)
        if self.epoch is not None and value is not None:
            self.epoch.figures[name] = value

    def _take_genotype(self, line: str) -> None:
        self.genotypes += 1
        if self.genotypes > MAX_GENOTYPES:
            raise DataError(f"the log has more than {MAX_GENOTYPES} genotypes")
        try:
            genotype = parse(line)
        except GenotypeError:
            return
        self.story.genotype = genotype
        if self.epoch is None:
            self.early.append(genotype)
        else:
            self.epoch.genotypes.append((_at(self.epoch), genotype))

    def told(self) -> Story:
        """The story, when all lines were taken."""
        story = self.story
        if not story.epochs:
            raise DataError(
                "the text is no log of a search or training: it has no epoch",
                remedy="expected lines such as 'epoch 3 lr 2.4e-02' or 'Train: [ 3/50] Step ...'",
            )
        asked = story.settings.get("epochs", "")
        last = story.epochs[-1].number
        planned = int(asked) if asked.isdecimal() and len(asked) < 6 else story.planned
        story.planned = max(planned, last)
        reported = [step.step for epoch in story.epochs for step in epoch.train]
        story.steps = max(story.steps, *reported, 1)
        return story


def _at(epoch: Epoch) -> int:
    """The step of an epoch that the log has come to."""
    return epoch.train[-1].step if epoch.train else 0


def _number(written: str) -> float | None:
    try:
        value = float(written)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
