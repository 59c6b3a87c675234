"""A text as ids: the corpus that a search or a training reads."""

import hashlib
import math
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from darts_engine.data.text import columns as layout
from darts_engine.data.text.source import CHARACTERS, PARTS, WORDS, Counts, Request, Text
from darts_engine.data.text.vocabulary import UNKNOWN, Vocabulary, numbered
from darts_engine.data.watch import Unwatched, Watch
from darts_engine.run.errors import ConfigError, DataError
from darts_engine.run.settings import catalog
from darts_engine.run.settings.config import DataSection
from darts_engine.run.settings.text_sections import TextSection

# Rows that the columns of a part need: an epoch's last two begin no window.
LEAST_ROWS = 3


@dataclass(frozen=True)
class Corpus:
    """A text in three parts, each (N,) int64 ids of `tokens`."""

    name: str
    tokens: Vocabulary
    train: Tensor
    valid: Tensor
    test: Tensor

    def to(self, device: torch.device | str) -> Self:
        """The same on a device."""
        return replace(
            self,
            train=self.train.to(device),
            valid=self.valid.to(device),
            test=self.test.to(device),
        )

    def columns(self, part: str, batch: int) -> Tensor:
        """(T, B) of `train`, `valid` or `test`, as `columns.columns`.

        Raises:
            DataError: the part is too short for so many columns.
        """
        ids: Tensor = getattr(self, part)
        if len(ids) // batch < LEAST_ROWS:
            raise DataError(
                f"the {part} part has {len(ids):,} tokens: {batch} columns of at least "
                f"{LEAST_ROWS} need {batch * LEAST_ROWS:,}",
                where=self.name,
                remedy="read it in fewer columns: --batch-size, --eval-batch",
            )
        return layout.columns(ids, batch)

    def digest(self, *parts: str) -> str:
        """16 hexadecimal digits of the vocabulary and these parts: equal where the text is."""
        content = hashlib.blake2b("\n".join(self.tokens.words).encode(), digest_size=8)
        for part in parts:
            ids: Tensor = getattr(self, part)
            content.update(ids.cpu().numpy().tobytes())
        return content.hexdigest()

    def unigram_perplexity(self, part: str = "valid") -> float:
        """Perplexity of a part under how often each token is in `train`, whatever came before.

        Every count is one higher (Laplace), as a token of `valid` may not be in `train`. A network
        that has learnt anything from what came before is below this.
        """
        counts = self.train.bincount(minlength=len(self.tokens)).double() + 1
        log_probabilities = (counts / counts.sum()).log()
        return math.exp(-float(log_probabilities[getattr(self, part)].mean()))


def read(data: DataSection, text: TextSection, watch: Watch | None = None) -> Corpus:
    """The text that a config names, as `verses`, `text:FOLDER`, `penn:DIR` or `wikitext2`.

    Args:
        data: `dataset` names the text, `data_dir` where published ones are, `batch_size` columns.
        text: what a token is, and how many are told apart.
        watch: takes notes: what became `<unk>`, and published counts that differ.

    Raises:
        DataError: a part is missing, unreadable, empty, or shorter than its columns need.
        ConfigError: a setting of `text` makes no sense.
        NotFoundError: there is no such source of text.
    """
    if text.tokens not in (WORDS, CHARACTERS):
        raise ConfigError(
            f"there are no tokens {text.tokens!r}",
            where="text.tokens",
            remedy=f"{WORDS} or {CHARACTERS}",
        )
    watch = watch or Unwatched()
    kind, _, rest = data.dataset.partition(":")
    load = catalog.resolve("text", catalog.TEXTS, kind)
    try:
        found: Text = load(Request(rest, data, text, watch))
        tokens, parts, lost = numbered(found, text.tokens, text.vocabulary)
    except OSError as error:
        raise DataError(
            f"the text cannot be read: {error.strerror or error}",
            where=str(error.filename or data.dataset),
            remedy="is it yours to read?",
        ) from None
    corpus = Corpus(found.name, tokens, *parts)
    _tell_unknown(corpus, lost, text, watch)
    if found.published is not None and text.tokens == WORDS:
        _tell_counts(corpus, found.published, text.vocabulary, watch)
    corpus.columns("train", data.batch_size)
    corpus.columns("valid", text.eval_batch)
    corpus.columns("test", 1)
    return corpus


def _tell_unknown(corpus: Corpus, lost: list[int], text: TextSection, watch: Watch) -> None:
    if not any(lost):
        return
    shares = ", ".join(
        f"{name} {count:,} ({count / len(getattr(corpus, name)):.1%})"
        for name, count in zip(PARTS, lost, strict=True)
    )
    watch.note(f"{corpus.name}: tokens that are not told apart became {UNKNOWN}: {shares}")
    unknown = corpus.tokens.unknown
    if unknown is not None and unknown not in corpus.train:
        watch.note(
            f"{corpus.name}: train has no {UNKNOWN}, so the network cannot learn to expect it; "
            f"limit the vocabulary to fewer than {len(corpus.tokens) - 1:,} {text.tokens} "
            "for it to be in train too",
            "warning",
        )


def _tell_counts(corpus: Corpus, published: Counts, limit: int, watch: Watch) -> None:
    found = Counts(len(corpus.train), len(corpus.valid), len(corpus.test), len(corpus.tokens))
    if limit and limit < published.vocabulary:
        published = published._replace(vocabulary=found.vocabulary)
    if found != published:
        watch.note(
            f"{corpus.name} is not as published: {_listed(found)}; published are "
            f"{_listed(published)}. Perplexities do not compare with published ones",
            "warning",
        )


def _listed(counts: Counts) -> str:
    train, valid, test, vocabulary = counts
    return f"{train:,}, {valid:,} and {test:,} tokens of {vocabulary:,} kinds"
