"""A trained network as a folder of the Hugging Face hub, and back.

`model.safetensors` has the weights in the official layout, `config.json` all else that the network
needs; the terminal adds `README.md`, the model card. No path of this machine is written into them.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import torch

from darts_engine.compute import device as devices
from darts_engine.data.augment import Normalisation
from darts_engine.data.text.vocabulary import Vocabulary
from darts_engine.networks import build as networks
from darts_engine.networks import official_state, tensor_file
from darts_engine.run.architecture.text import parse
from darts_engine.run.errors import CheckpointError, NotFoundError, RunError
from darts_engine.run.settings.config import NetworkSection, TrainConfig, to_plain
from darts_engine.run.settings.text_sections import TrainTextSection
from darts_engine.training.inputs import Inputs
from darts_engine.training.text_trained import TrainedText
from darts_engine.training.trained import Trained

WEIGHTS, CONFIG = "model.safetensors", "config.json"
IMAGES, TEXT = "darts-cell-network", "darts-recurrent-network"
# Settings of the engine that an output's bits depend on.
ENGINE = ("seed", "amp", "channels_last")


def files(network: Trained | TrainedText, run: str) -> dict[str, bytes]:
    """The content of `model.safetensors` and `config.json`.

    Args:
        network: is not changed.
        run: the run's id.
    """
    about = _of_text(network) if isinstance(network, TrainedText) else _of_images(network)
    config = json.dumps(about, indent=2).encode()
    metadata = {
        "format": "pt",
        "made_by": "darts-tui",
        "genotype": about["genotype"],
        "run": run,
        # The file alone describes its network.
        "config": json.dumps(about, separators=(",", ":")),
        "config_sha256": hashlib.sha256(config).hexdigest(),
    }
    tensors = official_state.export(network.network)
    return {WEIGHTS: tensor_file.encode(tensors, metadata), CONFIG: config}


def _of_images(network: Trained) -> dict[str, Any]:
    section, inputs = network.config.network, network.inputs
    mean, std = inputs.statistics()
    return {
        "model_type": IMAGES,
        **_of_both(network),
        "channels": section.channels,
        "cells": section.layers,
        "auxiliary": section.auxiliary,
        "num_classes": len(inputs.classes),
        "id2label": {str(place): name for place, name in enumerate(inputs.classes)},
        "input_size": list(inputs.image_shape),
        "mean": mean.tolist(),
        "std": std.tolist(),
        # The same to the last bit, for levels in 0 .. 255.
        "scale": inputs.norm.scale.tolist(),
        "offset": inputs.norm.offset.tolist(),
        "is_cropped": inputs.is_cropped,
        "white": inputs.white,
    }


def _of_text(network: TrainedText) -> dict[str, Any]:
    return {
        "model_type": TEXT,
        **_of_both(network),
        "width": network.config.text.width,
        "vocab_size": len(network.tokens),
        "tokens_are": network.tokens.kind,
        "tokens": network.tokens.words,
        "text": to_plain(network.config)["text"],
    }


def _of_both(network: Trained | TrainedText) -> dict[str, Any]:
    plain = to_plain(network.config)
    section = network.config.network
    return {
        "genotype": section.genotype,
        "space": parse(section.genotype).form if section.genotype else "",
        "dataset": named(network.config.data.dataset),
        "weights": network.source,
        "epoch": network.epoch,
        "network": plain["network"] | {"weights": ""},
        "engine": {name: plain["engine"][name] for name in ENGINE},
    }


def named(dataset: str) -> str:
    """A data set's name without the folders of this machine: `folder:photos`."""
    kind, colon, places = dataset.partition(":")
    return kind + colon + ",".join(Path(place).name for place in places.split(","))


def load(folder: Path | str, device: str = "cpu") -> Trained | TrainedText:
    """The network in a folder, whose outputs are those of the run's own network, bit for bit.

    Args:
        folder: with `model.safetensors` and `config.json`.
        device: as in the setting `engine.device`.

    Returns:
        a network that takes images, or one that takes text, in evaluation mode.

    Raises:
        NotFoundError: a file is missing.
        CheckpointError: a file is damaged, or the weights are of another network.
        RunError: the network cannot be built.
    """
    folder = Path(folder)
    about = _about(folder / CONFIG)
    where = str(folder / WEIGHTS)
    state = tensor_file.decode(_read(folder / WEIGHTS), where).tensors
    try:
        config = _config(about, device)
        source, epoch = str(about["weights"]), msgspec.convert(about["epoch"], int | None)
        place = devices.choose(config.engine)
        if about["model_type"] == TEXT:
            words = msgspec.convert(about["tokens"], list[str])
            tokens = Vocabulary(words, str(about["tokens_are"]))
            model = networks.build_recurrent(config, len(tokens))
            official_state.load(model, state, where)
            return TrainedText(config, model.to(place).eval(), tokens, source, epoch, place)
        inputs = _inputs(about)
        channels, classes = inputs.image_shape[0], len(inputs.classes)
        network = networks.build(
            config.network, in_channels=channels, classes=classes, seed=config.engine.seed
        )
        official_state.load(network, state, where)
    except (KeyError, ValueError, TypeError) as error:
        raise _damaged(folder / CONFIG, error) from None
    devices.place(network, place, channels_last=config.engine.channels_last)
    return Trained(config, network.eval(), inputs, source, epoch, place)


def _config(about: dict[str, Any], device: str) -> TrainConfig:
    config = TrainConfig()
    engine = msgspec.to_builtins(config.engine)
    engine |= {name: about["engine"][name] for name in ENGINE} | {"device": device}
    return msgspec.structs.replace(
        config,
        network=msgspec.convert(about["network"], NetworkSection),
        engine=msgspec.convert(engine, type(config.engine)),
        text=msgspec.convert(about.get("text", {}), TrainTextSection),
    )


def _inputs(about: dict[str, Any]) -> Inputs:
    labels = msgspec.convert(about["id2label"], dict[str, str])
    channels, height, width = msgspec.convert(about["input_size"], tuple[int, int, int])
    scale, offset = (
        torch.tensor(msgspec.convert(about[name], list[float])) for name in ("scale", "offset")
    )
    return Inputs(
        [labels[str(place)] for place in range(len(labels))],
        (channels, height, width),
        bool(about["is_cropped"]),
        Normalisation(scale, offset),
        float(about["white"]),
    )


def _about(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_read(path))
        if found["model_type"] not in (IMAGES, TEXT):
            raise CheckpointError(
                f"this is the config of another kind of network: {found['model_type']!r}"[:200],
                where=str(path),
                remedy="only folders of 'export-network --format hub' are read",
            )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, error) from None
    return dict(found)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFoundError(
            f"the file cannot be read: {error.strerror}",
            where=str(path),
            remedy=f"the folder of a network has {WEIGHTS} and {CONFIG}",
        ) from None


def _damaged(path: Path, error: Exception) -> RunError:
    return CheckpointError(
        f"the file does not describe a network: {(str(error).splitlines() or [''])[0]}"[:200],
        where=str(path),
        remedy="copy it anew",
    )
