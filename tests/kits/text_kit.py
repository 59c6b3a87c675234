"""A made-up text, and runs and trainings on it that take seconds."""

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darts_engine.run import folder
from darts_engine.run.folder import RunFolder
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import SearchConfig, TrainConfig

if TYPE_CHECKING:
    from darts_engine.data.text.corpus import Corpus
    from darts_engine.search.text_task import TextSearch
    from darts_engine.training.text_task import TrainText

# Three nodes of different operations, and an output that leaves one out.
CELL = "Genotype(recurrent=[('relu', 0), ('tanh', 1), ('identity', 1)], concat=[1, 3])"
WORDS = ["the", "cat", "sat", "on", "a", "mat", "<eos>"]
TINY = {
    "engine.threads": 1, "engine.device": "cpu", "engine.seed": 7, "network.genotype": CELL,
    "data.batch_size": 4, "train.epochs": 4, "text.width": 6, "text.bptt": 8, "text.eval_batch": 2,
    "weights.lr": 5.0, "text.nonmono": 5,
}  # fmt: skip

TINY_SEARCH = {
    "space.space": "recurrent", "space.nodes": 3, "alpha.lr": 0.1,
    "engine.threads": 1, "engine.device": "cpu", "engine.seed": 7, "data.batch_size": 4,
    "search.epochs": 4, "text.width": 6, "text.bptt": 8, "text.eval_batch": 2, "weights.lr": 5.0,
}  # fmt: skip


def numbers(count: int, seed: int, *, step: int = 1) -> list[int]:
    """Numbers of words, of which each mostly is so many after the last."""
    draws = random.Random(seed)
    found = [0]
    while len(found) < count:
        found.append((found[-1] + step * draws.choice([1, 1, 1, 1, 2, 3])) % len(WORDS))
    return found


def text(lines: int, seed: int, *, step: int = 1) -> str:
    """Lines of eight words."""
    words = [WORDS[i % (len(WORDS) - 1)] for i in numbers(8 * lines, seed, step=step)]
    return "".join(" ".join(words[8 * i : 8 * i + 8]) + "\n" for i in range(lines))


def write_texts(where: Path, lines: int = 60) -> Path:
    """A folder of a text in three parts. A network that learns the first one misses the second."""
    where.mkdir(exist_ok=True)
    for seed, (part, step) in enumerate((("train", 1), ("valid", -1), ("test", 1))):
        (where / f"{part}.txt").write_text(text(lines, seed, step=step))
    return where


def make_text_run(runs: Path, name: str, *, lines: int = 60, **changes: Any) -> RunFolder:
    """A training that averages after a few epochs; `changes` are settings with `__` for the dot."""
    where = write_texts(runs / f"texts-{lines}", lines)
    tiny = TINY | {"data.dataset": f"text:{where}", "text.nonmono": 1}
    tiny |= {key.replace("__", "."): value for key, value in changes.items()}
    return folder.create(runs, name, configs.override(TrainConfig(), tiny))


def make_text_search(runs: Path, name: str, *, lines: int = 60, **changes: Any) -> RunFolder:
    """A search; `changes` are settings with `__` for the dot."""
    tiny = TINY_SEARCH | {"data.dataset": f"text:{write_texts(runs / f'texts-{lines}', lines)}"}
    tiny |= {key.replace("__", "."): value for key, value in changes.items()}
    return folder.create(runs, name, configs.override(SearchConfig(), tiny))


def corpus(words: list[str] = WORDS) -> "Corpus":
    """A short text, without files."""
    import torch

    from darts_engine.data.text.corpus import Corpus
    from darts_engine.data.text.vocabulary import Vocabulary

    parts = [torch.tensor(numbers(n, seed)) for n, seed in ((160, 1), (60, 2), (50, 3))]
    return Corpus("made up", Vocabulary(words), *parts)


def text_training(of: "Corpus | None" = None, **changes: Any) -> "TrainText":
    """A training in this process; `changes` are settings with `__` for the dot."""
    import torch

    from darts_engine.training.text_task import TrainText

    asked = TINY | {key.replace("__", "."): value for key, value in changes.items()}
    config = configs.override(TrainConfig(), asked)
    assert isinstance(config, TrainConfig)
    return TrainText(config, of or corpus(), torch.device("cpu"))


def text_search(**changes: Any) -> "TextSearch":
    """A search in this process; `changes` are settings with `__` for the dot."""
    import torch

    from darts_engine.search.text_task import TextSearch

    asked = TINY_SEARCH | {key.replace("__", "."): value for key, value in changes.items()}
    config = configs.override(SearchConfig(), asked)
    assert isinstance(config, SearchConfig)
    return TextSearch(config, corpus(), torch.device("cpu"))
