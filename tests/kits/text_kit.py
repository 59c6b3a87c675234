"""A made-up text, and trainings on it that take a second."""

from typing import Any

import torch

from darts_engine.data.text.corpus import Corpus
from darts_engine.data.text.vocabulary import Vocabulary
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import TrainConfig
from darts_engine.training.text_task import TrainText

# Three nodes of different operations, and an output that leaves one out.
CELL = "Genotype(recurrent=[('relu', 0), ('tanh', 1), ('identity', 1)], concat=[1, 3])"
WORDS = ["the", "cat", "sat", "on", "a", "mat", "<eos>"]
TINY = {
    "engine.threads": 1, "engine.device": "cpu", "engine.seed": 7, "network.genotype": CELL,
    "data.batch_size": 4, "train.epochs": 4, "text.width": 6, "text.bptt": 8, "text.eval_batch": 2,
    "weights.lr": 5.0,
}  # fmt: skip


def ids(count: int, seed: int) -> torch.Tensor:
    """(N,) tokens of which each mostly is the one after the last."""
    draws = torch.Generator().manual_seed(seed)
    jumps = torch.multinomial(torch.tensor([0.0, 0.8, 0.1, 0.1]), count, True, generator=draws)
    return jumps.cumsum(0) % len(WORDS)


def corpus(train: int = 160) -> Corpus:
    """A text of three parts."""
    return Corpus("made up", Vocabulary(WORDS), ids(train, 1), ids(60, 2), ids(50, 3))


def lines(count: int, seed: int) -> str:
    """A text of so many lines of the same words."""
    words = WORDS[:-1]
    tokens = [words[i % len(words)] for i in ids(6 * count, seed).tolist()]
    return "\n".join(" ".join(tokens[6 * i : 6 * i + 6]) for i in range(count)) + "\n"


def text_training(**changes: Any) -> TrainText:
    """A training; `changes` are settings with `__` for the dot."""
    asked = TINY | {key.replace("__", "."): value for key, value in changes.items()}
    config = configs.override(TrainConfig(), asked)
    assert isinstance(config, TrainConfig)
    return TrainText(config, corpus(), torch.device("cpu"))
