"""What a source of text is asked, and what it gives."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from darts_engine.data.watch import Watch
from darts_engine.run.settings.config import DataSection
from darts_engine.run.settings.text_sections import TextSection

WORDS, CHARACTERS = "words", "characters"
PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class Request:
    """What a source is to read.

    Attributes:
        rest: the text after the colon of the data set's name, as in `text:FOLDER`.
        data: the settings of data.
        text: the settings of text; `text.tokens` is `words` or `characters`.
        watch: takes notes for people.
    """

    rest: str
    data: DataSection
    text: TextSection
    watch: Watch


class Counts(NamedTuple):
    """Numbers of tokens, with `<eos>`, and of different ones."""

    train: int
    valid: int
    test: int
    vocabulary: int


@dataclass(frozen=True)
class Text:
    """The three parts of a text, before anything is counted.

    Attributes:
        name: for people.
        train, valid, test: pieces of each part, with a line feed as the end of a line; one `str` is
            one piece. They are read once, in this order.
        closed: whether the vocabulary is that of all three parts, as the official code builds it.
            Else it is that of `train`.
        least: words that occur fewer times in `train` are `<unk>`.
        published: what the parts should count, if that is known.
    """

    name: str
    train: Iterable[str]
    valid: Iterable[str]
    test: Iterable[str]
    closed: bool = False
    least: int = 1
    published: Counts | None = None
