"""`darts-tui predict --prompt`: continues a text with a run's network."""

from typing import Any

import msgspec

from darts_engine.run.answers import Continuation
from darts_engine.run.errors import ConfigError, ExitCode
from darts_engine.run.folder import RunFolder
from darts_engine.run.settings.config import override
from darts_engine.run.settings.search_on_text import reads_text
from darts_tui.console.console import print_err, print_json
from darts_tui.console.safe_text import clean, clean_block
from darts_tui.launch.child_program import run_with_config


class Asked(msgspec.Struct, frozen=True):
    """How a text is to go on; None where an option was not given."""

    prompt: str | None = None
    length: int | None = None
    temperature: float | None = None
    seed: int | None = None

    def given(self) -> dict[str, Any]:
        """The options that were given, by name."""
        return {
            name: value for name, value in msgspec.to_builtins(self).items() if value is not None
        }


def is_asked(folder: RunFolder, asked: Asked, *, has_images: bool, has_top: bool) -> bool:
    """Whether a text is to be continued, and not pictures labelled.

    Raises:
        ConfigError: the run's network does not take what was asked.
    """
    if reads_text(folder.read_config()):
        if has_images or has_top or asked.prompt is None:
            raise ConfigError(
                "the run's network reads text, and no pictures",
                where=folder.name,
                remedy='say --prompt "..." instead of pictures and --top',
            )
        return True
    if asked.given():
        raise ConfigError(
            f"--{next(iter(asked.given()))} is of text, and the run's network takes pictures",
            where=folder.name,
            remedy="name picture files instead",
        )
    if not has_images:
        raise ConfigError("no picture was named", where=folder.name, remedy="name picture files")
    return False


def continued(
    folder: RunFolder, asked: Asked, *, checkpoint: str, given: dict[str, Any]
) -> Continuation:
    """How the text of a prompt goes on.

    Raises:
        RunError: the run has no network or no checkpoint, or does not know a word of the prompt.
    """
    # As in `predict.predict`.
    config = override(folder.read_config(), {"engine.device": "cpu", **given})
    names = {"prompt": "prompt", "length": "length", "temperature": "temperature", "seed": "draws"}
    # One argument each: a prompt may begin like an option.
    options = [f"--{names[name]}={value}" for name, value in asked.given().items()]
    arguments = ["--run", str(folder.path), "--checkpoint", checkpoint, *options]
    answer = run_with_config("predict_text", config, arguments)
    return msgspec.json.decode(answer, type=Continuation)


def report(found: Continuation, *, as_json: bool) -> int:
    """Print the text with its continuation, and say which words were not known."""
    if as_json:
        print_json({"prompt": found.prompt, "continuation": found.text, "unknown": found.unknown})
        return ExitCode.OK
    if found.unknown:
        words = ", ".join(repr(clean(word, 40)) for word in found.unknown)
        print_err(f"not known to the network, and read as <unk>: {words}")
    between = "" if found.is_of_characters or not found.prompt else " "
    print(clean_block(f"{found.prompt}{between}{found.text}"))
    return ExitCode.OK
