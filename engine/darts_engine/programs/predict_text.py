"""Continues a text with a trained recurrent network.

`python -m darts_engine.programs.predict_text CONFIG.toml` writes a `Continuation` as JSON, for
`darts-tui predict --prompt`.
"""

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor

from darts_engine.compute import streams
from darts_engine.data.text.source import CHARACTERS
from darts_engine.data.text.vocabulary import EOS, Vocabulary
from darts_engine.programs.answer import answer
from darts_engine.run.answers import Continuation
from darts_engine.run.errors import DataError
from darts_engine.run.folder import RunFolder
from darts_engine.training import text_trained, trained
from darts_engine.training.text_trained import TrainedText

# Tokens of a prompt that are read at once: each has the probabilities of the whole vocabulary.
AT_ONCE = 512


def continued(
    network: TrainedText, prompt: str, *, length: int, temperature: float, seed: int
) -> Continuation:
    """How a text goes on: token by token, each drawn from what the network predicts after it.

    Args:
        network: in evaluation mode.
        prompt: of words or characters, as the network reads them. An empty one is a new line.
        length: tokens that are added.
        temperature: of the softmax. Below 1 likely tokens become likelier; 0 takes the likeliest.
        seed: of the draws; the same one continues a text in the same way.

    Raises:
        DataError: the network does not know a word of the prompt and has no `<unk>`.
    """
    vocabulary = network.tokens
    ids, unknown = vocabulary.prompt(prompt)
    first = ids if len(ids) else _new_line(vocabulary)
    draws = streams.generator(seed, "continuation")
    added: list[int] = []
    hidden = network.network.first_hidden(1)
    *before, tokens = first.to(network.device)[:, None].split(AT_ONCE)
    for part in before:
        _, hidden = network.read(part, hidden)
    while len(added) < length:
        log_probabilities, hidden = network.read(tokens, hidden)
        added.append(_drawn(log_probabilities[-1, 0].float().cpu(), temperature, draws))
        tokens = torch.tensor([[added[-1]]], device=network.device)
    return Continuation(
        prompt=vocabulary.text(ids),
        unknown=unknown,
        text=vocabulary.text(added),
        is_of_characters=vocabulary.kind == CHARACTERS,
    )


def _drawn(log_probabilities: Tensor, temperature: float, draws: torch.Generator) -> int:
    """The next token by the log-probabilities (V,)."""
    if not temperature:
        return int(log_probabilities.argmax())
    # Below the likeliest, so that one of them stays however small the temperature is.
    below = log_probabilities.double() - log_probabilities.max()
    shares = (below / temperature).softmax(0)
    return int(torch.multinomial(shares, 1, generator=draws))


def _new_line(vocabulary: Vocabulary) -> Tensor:
    end = "\n" if vocabulary.kind == CHARACTERS else EOS
    if end not in vocabulary:
        raise DataError(
            "there is nothing to go on from, and the network knows no ends of lines",
            where="--prompt",
            remedy=f"name a few {vocabulary.kind}",
        )
    return vocabulary.ids("\n")


def main(arguments: list[str]) -> int:
    """Continue a text and write the answer. Returns: the exit status."""
    parser = argparse.ArgumentParser(prog="darts-tui predict")
    parser.add_argument("config", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--checkpoint", choices=trained.CHECKPOINTS, default="best")
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--length", type=int, default=40)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--draws", type=int, default=0)
    options = parser.parse_args(arguments)

    def work() -> Continuation:
        config = trained.config_of(options.config)
        network = text_trained.of_run(RunFolder(options.run), options.checkpoint, config)
        return continued(
            network,
            options.prompt,
            length=options.length,
            temperature=options.temperature,
            seed=options.draws,
        )

    return answer(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
