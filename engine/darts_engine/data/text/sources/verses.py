"""The bundled default: the four Gospels in the King James Version, a verse a line (see NOTICE).

The 5th, 15th, 25th ... of their chapters are for validation, the 10th, 20th ... for the test, and
all others for training. So every part has chapters of all four Gospels, and no verse is in two
parts. Matthew, Mark and Luke tell some events in almost the same words, which makes the text easier
than its size suggests.

Words are in lower case, with punctuation set apart, and a word that occurs only once in the
training part is `<unk>`: so was WikiText-2 made, of words that occur at least three times.
Characters are those of the text as it is printed.
"""

import lzma
from importlib import resources

from darts_engine.data.text.source import WORDS, Request, Text
from darts_engine.data.text.vocabulary import apart

EVERY, VALID, TEST = 10, 4, 9
LEAST = 2


def load(request: Request) -> Text:
    """The Gospels: 437 kB, 89 chapters, 3,779 verses."""
    packed = resources.files("darts_engine.data").joinpath("verses.txt.xz").read_bytes()
    chapters = lzma.decompress(packed).decode("ascii").split("# ")[1:]
    # The first line of a chapter is its name.
    verses = [chapter.partition("\n")[2] for chapter in chapters]
    if request.text.tokens == WORDS:
        verses = [apart(chapter) for chapter in verses]
    train = [c for i, c in enumerate(verses) if i % EVERY not in (VALID, TEST)]
    return Text(
        "verses",
        "".join(train),
        "".join(verses[VALID::EVERY]),
        "".join(verses[TEST::EVERY]),
        least=LEAST,
    )
