"""Evaluates a network on a part of a text, for `evaluate.py`.

Shapes: T rows of text, B columns, V tokens, n width.
"""

from pathlib import Path

import torch
from torch import Tensor

from darts_engine.compute import device as devices
from darts_engine.data.text import corpus as corpora
from darts_engine.data.text.corpus import Corpus
from darts_engine.data.text.vocabulary import UNKNOWN, Vocabulary
from darts_engine.run.answers import TextEvaluation
from darts_engine.run.errors import DataError
from darts_engine.run.folder import RunFolder
from darts_engine.run.settings.config import Config, SearchConfig, TrainConfig
from darts_engine.runner.checkpoint import refuse_foreign
from darts_engine.runner.text_scores import Read, mean_loss, perplexity
from darts_engine.search.text_task import TextSearch
from darts_engine.training import text_trained, trained


def training(
    config: TrainConfig,
    folder: RunFolder | None,
    weights: Path | None,
    which: str,
    *,
    part: str,
    official: bool,
) -> TextEvaluation:
    """Evaluate a recurrent network on a part of the config's text.

    Args:
        config: of the network, text and device; `text.eval_batch` columns are read at once.
        folder: the run whose checkpoint is used if `weights` is None.
        weights: a file in the official layout.
        which: a name in `trained.CHECKPOINTS`.
        part: train, valid or test.
        official: divide as the official code does, by one row too many.

    Raises:
        RunError: there is no checkpoint or no text, or it does not fit the network.
    """
    if weights is not None:
        corpus = read(config)
        network = text_trained.of_weights(weights, config, corpus.tokens)
    else:
        assert folder is not None
        # The network knows its words, and which of them are in another text's train says nothing.
        corpus = corpora.read(config.data, config.text, every_token=True)
        network = text_trained.of_run(folder, which, config)
    columns = in_words_of(network.tokens, corpus, part, config.text.eval_batch)
    hidden = network.network.first_hidden(columns.shape[1])
    return _evaluation(
        config,
        columns.to(network.device),
        network.read,
        hidden,
        (network.source, network.epoch),
        part=part,
        official=official,
    )


def supernet(
    config: SearchConfig, folder: RunFolder, *, part: str, official: bool
) -> TextEvaluation:
    """Evaluate a search's supernet, mixed by alpha of the last checkpoint.

    Raises:
        RunError: there is no checkpoint or no text.
    """
    manifest, state = trained.read(folder, "last")
    device, corpus = devices.choose(config.engine), read(config)
    search = TextSearch(config, corpus, device)
    refuse_foreign(folder, manifest, search.identity())
    search.load_state(state)
    search.supernet.eval()

    def read_text(tokens: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        log_probabilities, after = search.predict((tokens, hidden))
        return log_probabilities, after

    columns = corpus.columns(part, config.text.eval_batch).to(device)
    hidden = search.supernet.first_hidden(columns.shape[1])
    source = (trained.source_of(folder, manifest), manifest.position.epoch)
    return _evaluation(config, columns, read_text, hidden, source, part=part, official=official)


def read(config: Config) -> Corpus:
    """The text of a config."""
    return corpora.read(config.data, config.text)


def in_words_of(tokens: Vocabulary, corpus: Corpus, part: str, batch: int) -> Tensor:
    """(T, B) of a part of a text, in the ids of another vocabulary.

    Raises:
        DataError: the vocabulary lacks a word of the part and has no `<unk>`, or is of another kind
            of tokens.
    """
    columns = corpus.columns(part, batch)
    if corpus.tokens.kind != tokens.kind:
        raise DataError(
            f"the text is of {corpus.tokens.kind}, the network reads {tokens.kind}",
            where=corpus.name,
            remedy=f"use --tokens {tokens.kind}",
        )
    numbers = {word: number for number, word in enumerate(tokens.words)}
    unknown = -1 if tokens.unknown is None else tokens.unknown
    places = torch.tensor([numbers.get(word, unknown) for word in corpus.tokens.words])
    found = places[columns]
    if bool((found < 0).any()):
        missing = corpus.tokens.words[int(columns[found < 0][0])]
        raise DataError(
            f"the network does not know {missing[:60]!r}, and has no {UNKNOWN}",
            where=f"{corpus.name}, {part}",
            remedy="evaluate it on a text of the words that it was trained on",
        )
    return found


def _evaluation(
    config: Config,
    columns: Tensor,
    read_text: Read,
    hidden: Tensor,
    source: tuple[str, int | None],
    *,
    part: str,
    official: bool,
) -> TextEvaluation:
    loss = mean_loss(columns, config.text.bptt, read_text, hidden)
    rows = len(columns)
    if official and loss is not None:
        loss = round(loss * (rows - 1) / rows, 6)
    return TextEvaluation(
        part=part,
        loss=loss,
        perplexity=perplexity(loss),
        tokens=(rows - 1) * columns.shape[1],
        is_official_division=official,
        dataset=config.data.dataset,
        source=source[0],
        epoch=source[1],
    )
