"""The model card of a trained network, as the Hugging Face hub shows it: YAML, then Markdown.

Figures are those of the run's events, each with how it was measured. Names of data sets, classes
and runs are foreign text: they stand in JSON's quotes, which YAML reads too, or in code spans.
"""

import json
from typing import Any, NamedTuple

from darts_engine.run import events
from darts_engine.run.state import RunState
from darts_tui.console.safe_text import clean

README = "README.md"
# Data sets that the hub knows by this name, and a card may name as trained on.
ON_THE_HUB = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet": "imagenet-1k"}
SHOWN_CLASSES = 20
MAX_NAME = 80

_IMAGES = """import torch
from darts_engine.training import hub

model = hub.load(FOLDER)
channels, height, width = model.inputs.image_shape
# Pixels 0 .. 255; those of a picture: darts_engine.programs.predict.pixels(image, model.inputs)
pixels = torch.zeros(1, height, width, channels, dtype=torch.uint8)
logits = model.logits(model.inputs.on(model.device).plain(pixels))
print(model.inputs.classes[logits.argmax(1).item()])"""
_TEXT = """from darts_engine.training import hub

model = hub.load(FOLDER)
tokens, unknown = model.tokens.prompt(PROMPT)
hidden = model.network.first_hidden(1)
log_probabilities, hidden = model.read(tokens[:, None], hidden)
print(model.tokens.words[log_probabilities[-1, 0].argmax().item()])"""

_USE = (
    "`pip install darts-tui` brings `darts_engine`. `model.safetensors` has the weights in the "
    "layout of the official DARTS code; nothing is executed when it is read."
)


class Figure(NamedTuple):
    """A measured figure.

    Attributes:
        metric: as the hub names it: accuracy or perplexity.
        value: in percent, or per predicted token.
        part: of the data: validation or test.
        how: the protocol, a sentence.
    """

    metric: str
    value: float
    part: str
    how: str


def figures(state: RunState, epoch: int | None) -> list[Figure]:
    """What the run measured of the network as it was after an epoch, the test first."""
    started = state.started
    if started is None:
        return []
    found = []
    unit, parts = started.unit, started.images
    test = state.test
    last = state.epochs[-1].epoch if state.epochs else None
    if test is not None and test.test_top1 is not None and (test.epoch or last) == epoch:
        how = f"{test.images:,} test images, looked at once, after the training"
        found.append(Figure("accuracy", test.test_top1, "test", how))
    done = next((one for one in reversed(state.epochs) if one.epoch == epoch), None)
    if done is None:
        return found
    is_held_out = "valid" in parts
    part = "valid" if is_held_out else "test"
    count = f"{parts.get(part, 0):,} {'validation' if is_held_out else 'test'} {unit}"
    how = f"{count}, after epoch {epoch} of {started.epochs}"
    if not is_held_out:
        how += "; they were looked at after every epoch, so the best epoch's figure is optimistic"
    elif done == state.best:
        how += "; the best epoch was chosen by them"
    name = "validation" if is_held_out else "test"
    if done.valid_top1 is not None:
        found.append(Figure("accuracy", done.valid_top1, name, how))
    if done.valid_perplexity is not None:
        found.append(Figure("perplexity", done.valid_perplexity, name, how))
    return found


def card(name: str, about: dict[str, Any], state: RunState, pictures: dict[str, str]) -> str:
    """The text of a card.

    Args:
        name: of the run.
        about: what `config.json` says.
        state: of the run.
        pictures: titles of the cells' pictures by file name.
    """
    measured = figures(state, about["epoch"])
    is_text = state.is_text
    head = _head(name, about, measured, is_text=is_text)
    parts = [
        f"# {_plain(name)}",
        _what(about, is_text=is_text),
        *(f"![{title}]({file})" for file, title in pictures.items()),
        *([f"```text\n{_block(about['genotype'])}\n```"] if about["genotype"] else []),
        "## Data",
        _data(about, state.started),
        "## Figures",
        _table(measured),
        *_protocol(state.started),
        "## Use",
        f"```python\n{_code(name, is_text=is_text)}\n```",
        _USE,
    ]
    return f"---\n{head}---\n\n" + "\n\n".join(parts) + "\n"


def _head(name: str, about: dict[str, Any], measured: list[Figure], *, is_text: bool) -> str:
    task = "text-generation" if is_text else "image-classification"
    dataset = about["dataset"]
    known = ON_THE_HUB.get(dataset)
    lines = ["library_name: darts-tui", f"pipeline_tag: {task}"]
    lines += ["tags:", "- neural-architecture-search", "- darts"]
    lines += ["datasets:", f"- {known}"] if known else []
    if measured:
        lines += ["metrics:", *(f"- {one}" for one in dict.fromkeys(f.metric for f in measured))]
        lines += ["model-index:", f"- name: {_quoted(name)}", "  results:"]
    for figure in measured:
        lines += [
            "  - task:",
            f"      type: {task}",
            "    dataset:",
            f"      name: {_quoted(dataset)}",
            f"      type: {_quoted(known or dataset)}",
            f"      split: {figure.part}",
            "    metrics:",
            f"    - type: {figure.metric}",
            f"      value: {figure.value:g}",
            f"      name: {_quoted(figure.how)}",
        ]
    return "".join(f"{line}\n" for line in lines)


def _what(about: dict[str, Any], *, is_text: bool) -> str:
    if is_text:
        return (
            f"A recurrent cell of width {about['width']} between an embedding and a decoder with "
            f"the same weights; {about['vocab_size']:,} {about['tokens_are']}."
        )
    channels, height, width = about["input_size"]
    size = f"{channels} x {height} x {width} pixels, {about['num_classes']} classes"
    if not about["genotype"]:
        return f"The wide ResNet `{_plain(about['network']['network'])}`; {size}."
    return (
        f"A network of {about['cells']} cells with {about['channels']} channels at the beginning, "
        f"built of the genotype below; {size}."
    )


def _data(about: dict[str, Any], started: events.RunStarted | None) -> str:
    lines = [f"`{_plain(about['dataset'])}`"]
    if started is not None:
        words = {"train": "training", "valid": "validation", "test": "test"}
        parts = (f"{n:,} {words.get(part, part)}" for part, n in started.images.items())
        lines.append(f"{', '.join(parts)} {started.unit}")
    names = list(about.get("id2label", {}).values())
    if names:
        shown = ", ".join(f"`{_plain(name)}`" for name in names[:SHOWN_CLASSES])
        more = len(names) - SHOWN_CLASSES
        lines.append(f"classes {shown}" + (f" and {more} more" if more > 0 else ""))
        mean, std = ([round(value, 4) for value in about[key]] for key in ("mean", "std"))
        lines.append(f"normalised by mean {mean} and standard deviation {std} of levels in 0 .. 1")
    return ";\n".join(lines) + "."


def _table(measured: list[Figure]) -> str:
    if not measured:
        return "None was measured of these weights."
    rows = [
        f"| {f.metric} | {f.value:.2f}{' %' if f.metric == 'accuracy' else ''} | {f.how} |"
        for f in measured
    ]
    return "\n".join(["| figure | value | measured on |", "|---|---|---|", *rows])


def _protocol(started: events.RunStarted | None) -> list[str]:
    """How the network was trained; empty for a run that has not told it."""
    if started is None:
        return []
    config = started.config
    parts = [f"{started.epochs} epochs"]
    parts += [
        f"{word} {value}"
        for word, table, key in (("batch size", "data", "batch_size"), ("seed", "engine", "seed"))
        if isinstance(value := config.get(table, {}).get(key), int)
    ]
    versions = [f"{clean(name)} {clean(one)}" for name, one in sorted(started.versions.items())]
    by = f" By {', '.join(map(_plain, versions))}." if versions else ""
    return [f"Of one training: {', '.join(parts)}.{by}"]


def _code(name: str, *, is_text: bool) -> str:
    folder = json.dumps(f"{_plain(name)}-hub")
    return (_TEXT if is_text else _IMAGES).replace("FOLDER", folder).replace("PROMPT", '"the"')


def _quoted(text: str) -> str:
    return json.dumps(clean(text, MAX_NAME * 3))


def _plain(text: str) -> str:
    """A name that ends no code span, heading or link."""
    shown = clean(text, MAX_NAME)
    return "".join(c if c.isalnum() or c in " -_.:,+/()" else "-" for c in shown)


def _block(text: str) -> str:
    return clean(text).replace("```", "'''")
