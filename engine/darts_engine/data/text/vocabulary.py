"""The tokens of a text and their ids."""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from darts_engine.data.dataset import nearest
from darts_engine.data.text.source import CHARACTERS, PARTS, WORDS, Text
from darts_engine.run.errors import ConfigError, DataError

EOS, UNKNOWN = "<eos>", "<unk>"
# A word this long is no word: the file is of another kind.
LONGEST_WORD = 100_000
_APART = re.compile(r"[^\W_]+|'\w*|[^\w\s]|_")


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id, and ids by token.

    Attributes:
        words: the token of each id; a character each where `kind` is `characters`.
        kind: `words` or `characters`.
    """

    words: list[str]
    kind: str = WORDS
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ids", {word: i for i, word in enumerate(self.words)})

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._ids

    @property
    def unknown(self) -> int | None:
        """The id of `<unk>`; None where every token is told apart."""
        return self._ids.get(UNKNOWN)

    def ids(self, text: str) -> Tensor:
        """(N,) int64 of a text's tokens; what is not in the vocabulary is `<unk>`.

        An end of line is `<eos>`, or the character itself. The end of the text adds none.

        Raises:
            DataError: a token is not in the vocabulary, which has no `<unk>`.
        """
        return self._numbered(self.split(text))

    def prompt(self, text: str) -> tuple[Tensor, list[str]]:
        """As `ids`, for what a person types; also returns the tokens that are `<unk>`.

        A word that is not in the vocabulary as it stands is also tried in lower case, then in
        parts: letters and punctuation apart, as in `word,`.

        Raises:
            DataError: as `ids`.
        """
        tokens = [part for token in self.split(text) for part in self._nearer(token)]
        return self._numbered(tokens), [token for token in tokens if token not in self]

    def text(self, ids: Tensor | list[int]) -> str:
        """The text of ids (N,): words with a blank between them, `<eos>` as an end of line."""
        tokens = [self.words[int(i)] for i in ids]
        if self.kind == CHARACTERS:
            return "".join(tokens)
        lines: list[list[str]] = [[]]
        for token in tokens:
            if token == EOS:
                lines.append([])
            else:
                lines[-1].append(token)
        return "\n".join(" ".join(line) for line in lines)

    def split(self, text: str) -> list[str]:
        """The tokens of a text, as they stand."""
        return list(text) if self.kind == CHARACTERS else _words(text)

    def _numbered(self, tokens: list[str]) -> Tensor:
        unknown = self.unknown
        if unknown is None and (missing := [token for token in tokens if token not in self]):
            raise DataError(
                f"{_short(missing[0])} is not in the vocabulary, which has no {UNKNOWN}",
                where=f"a vocabulary of {len(self):,} {self.kind}",
                remedy=nearest(missing[0], self.words),
            )
        return torch.tensor([self._ids.get(t, unknown) for t in tokens], dtype=torch.int64)

    def _nearer(self, token: str) -> list[str]:
        if token in self or self.kind == CHARACTERS:
            return [token]
        lower = token.lower()
        for parts in ([lower], _APART.findall(token)):
            if all(part in self for part in parts):
                return parts
        # Some of it may be known: the comma behind a strange name.
        return _APART.findall(lower)


def apart(text: str) -> str:
    """A text in lower case, with punctuation set apart by blanks; ends of line stay."""
    return "\n".join(" ".join(_APART.findall(line)) for line in text.lower().split("\n"))


def numbered(text: Text, kind: str, limit: int) -> tuple[Vocabulary, list[Tensor], list[int]]:
    """The vocabulary of a text, and its parts as ids.

    Ids are in the order of first appearance. `<unk>`, unless the text itself has it, is the last.

    DEVIATION: the official code takes the vocabulary from all three parts. That is done for a
    `closed` text only. Of any other, a network that is trained on `train` cannot know the words of
    `valid` and `test`, and what `train` lacks is `<unk>`.

    Args:
        text: three parts.
        kind: `words` or `characters`.
        limit: most tokens in the vocabulary, among them `<eos>` and `<unk>`; the most frequent in
            `train` stay, of equally frequent ones the earlier. 0 = all.

    Returns:
        the vocabulary; (N,) int64 ids of train, valid and test; in each, how many tokens became
        `<unk>` that were none in the text.

    Raises:
        DataError: a part is empty.
        ConfigError: the limit leaves room for nothing.
    """
    numbers: defaultdict[str, int] = defaultdict(itertools.count().__next__)
    parts, in_train = [], 0
    for name, part in zip(PARTS, (text.train, text.valid, text.test), strict=True):
        parts.append(_part(part, kind, numbers, f"{text.name}, {name}"))
        in_train = in_train or len(numbers)
    tokens = list(numbers)
    counts = np.bincount(parts[0], minlength=len(tokens))
    kept = np.ones(len(tokens), dtype=bool)
    if not text.closed:
        kept[in_train:] = False
    kept &= counts >= (text.least if kind == WORDS and not text.closed else 0)
    always = [numbers[word] for word in (EOS, UNKNOWN) if kind == WORDS and word in numbers]
    kept[always] = True
    _limit(kept, counts, always, limit)
    words = [word for word, keep in zip(tokens, kept.tolist(), strict=True) if keep]
    if not kept.all() and (kind == CHARACTERS or UNKNOWN not in numbers):
        words.append(UNKNOWN)
    unknown = words.index(UNKNOWN) if UNKNOWN in words else -1
    renumbered = np.full(len(tokens), unknown, dtype=np.int64)
    renumbered[kept] = np.arange(int(kept.sum()))
    lost = [int((~kept)[part].sum()) for part in parts]
    return Vocabulary(words, kind), [torch.from_numpy(renumbered[p]) for p in parts], lost


def _limit(kept: np.ndarray, counts: np.ndarray, always: list[int], limit: int) -> None:
    """Take the rarest out of `kept`; what stays is with `<unk>` no more than `limit`."""
    if not limit:
        return
    has_unknown = len(always) == 2
    if int(kept.sum()) + (not has_unknown and not kept.all()) <= limit:
        return
    room = limit - len(always) - (not has_unknown)
    if room < 1:
        raise ConfigError(
            f"a vocabulary of {limit} has no room beside {EOS} and {UNKNOWN}",
            where="vocabulary",
            remedy="0 keeps every token",
        )
    candidates = np.flatnonzero(kept)
    candidates = candidates[~np.isin(candidates, always)]
    frequent = candidates[np.argsort(-counts[candidates], kind="stable")][:room]
    kept[:] = False
    kept[frequent] = True
    kept[always] = True


def _part(part: Iterable[str], kind: str, numbers: defaultdict[str, int], where: str) -> np.ndarray:
    """(N,) int32 of one part, of which new tokens get new numbers; its last line gets an end."""
    pieces = (part,) if isinstance(part, str) else part
    number, end = numbers.__getitem__, "\n" if kind == CHARACTERS else EOS
    found, last = [], "\n"
    for piece in pieces if kind == CHARACTERS else _whole_words(pieces, where):
        if piece:
            tokens = piece if kind == CHARACTERS else _words(piece)
            found.append(np.fromiter(map(number, tokens), dtype=np.int32, count=len(tokens)))
            last = piece[-1]
    if last != "\n":
        found.append(np.array([number(end)], dtype=np.int32))
    # A word that is whole in one piece has not been looked at.
    _refuse_giant(max(numbers, key=len, default=""), where)
    if all((tokens == numbers.get(end, -1)).all() for tokens in found):
        raise DataError(f"this part of the text has no {kind}", where=where, remedy="write some")
    return np.concatenate(found)


def _whole_words(pieces: Iterable[str], where: str) -> Iterator[str]:
    """The same text in pieces that end behind a word."""
    rest = ""
    for piece in pieces:
        last = piece.rsplit(maxsplit=1)[-1:] if piece and not piece[-1].isspace() else [""]
        cut = len(piece) - len("".join(last))
        if cut:
            yield rest + piece[:cut]
            rest = ""
        rest += piece[cut:]
        _refuse_giant(rest, where)
    yield rest


def _refuse_giant(word: str, where: str) -> None:
    if len(word) > LONGEST_WORD:
        raise DataError(
            f"a word has more than {LONGEST_WORD:,} characters",
            where=f"{where}: {_short(word)}",
            remedy="is it text with blanks? --tokens characters needs none",
        )


def _words(text: str) -> list[str]:
    return text.replace("\n", f" {EOS} ").split()


def _short(word: str) -> str:
    return repr(word if len(word) <= 40 else f"{word[:40]}...")
