"""Exports a trained network for other programs.

`python -m darts_engine.programs.export_network CONFIG.toml` writes the names of the files as JSON,
for `darts-tui export-network`. The programs (TorchScript, torch.export, ONNX) take raw pixels in
0 .. 1 and normalise them inside; of a network that reads text they take a token (`export_text.py`).
The state dictionary is of the bare network, in the official code's layout. Their metadata describe
the input.
"""

import argparse
import copy
import importlib
import io
import json
import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from darts_engine.layers.depthwise import DepthwiseConv
from darts_engine.networks import official_state
from darts_engine.networks.build import TrainedNetwork
from darts_engine.networks.derived import Network
from darts_engine.networks.recurrent import RecurrentNetwork
from darts_engine.programs import export_text
from darts_engine.programs.answer import answer
from darts_engine.run.errors import ConfigError, RunError
from darts_engine.run.folder import RunFolder
from darts_engine.run.private_files import write_private
from darts_engine.run.settings.config import to_plain
from darts_engine.run.settings.search_on_text import reads_text
from darts_engine.training import hub, text_trained, trained
from darts_engine.training.inputs import Inputs
from darts_engine.training.text_trained import TrainedText
from darts_engine.training.trained import Trained

METADATA = "darts-tui.json"
# The newest that the TorchScript-based exporter writes, and runtimes of the last years read.
OPSET = 17
BATCH = "batch"


class Program(nn.Module):
    """A trained network with its normalisation, without its auxiliary head.

    Args:
        network: is copied.
        inputs: the images that it was trained on.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, network: TrainedNetwork, inputs: Inputs) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).cpu().eval().requires_grad_(False)
        if isinstance(self.network, Network):
            self.network.auxiliary = None
        _use_library_convolutions(self.network)
        # Elsewhere pixels are 0 .. 255.
        self.register_buffer("scale", (255 * inputs.norm.scale).view(1, -1, 1, 1))
        self.register_buffer("offset", inputs.norm.offset.view(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) float32 in 0 .. 1 to logits (B, classes)."""
        logits: Tensor = self.network(pixels * self.scale + self.offset)[0]
        return logits


def _use_library_convolutions(module: nn.Module) -> None:
    """Replace depthwise convolutions, written for fast training on the CPU, by `nn.Conv2d`."""
    for name, child in module.named_children():
        if isinstance(child, DepthwiseConv):
            channels, kernel, dilation = child.in_channels, child.kernel_size[0], child.dilation[0]
            padding = dilation * (kernel - 1) // 2
            size = (kernel, child.stride[0], padding, dilation, channels)
            plain = nn.Conv2d(channels, channels, *size, bias=False)
            plain.weight = child.weight
            setattr(module, name, plain.eval())
        else:
            _use_library_convolutions(child)


def describe(network: Trained) -> dict[str, Any]:
    """The metadata of an exported file."""
    channels, height, width = network.inputs.image_shape
    mean, std = network.inputs.statistics()
    return {
        "made_by": "darts-tui",
        "weights": network.source,
        "epoch": network.epoch,
        "input": {
            "name": "pixels",
            "shape": [BATCH, channels, height, width],
            "type": "float32",
            "range": [0.0, 1.0],
            "normalised_inside": True,
        },
        "output": {
            "name": "logits",
            "shape": [BATCH, len(network.inputs.classes)],
            "of": "softmax gives the probabilities of the classes",
        },
        "normalisation": {"mean": mean.tolist(), "std": std.tolist()},
        "classes": network.inputs.classes,
        "config": to_plain(network.config),
    }


# Formats ------------------------------------------------------------------------------------------


class Bundle(NamedTuple):
    """What is written of a network.

    Attributes:
        network: the bare one.
        program: what other programs run.
        examples: inputs of the program by name. Batch is the first axis of every input and output.
        outputs: names of what it returns.
        about: the metadata.
        trained: the network with what it needs to be built again.
        run: the run's id.
    """

    network: TrainedNetwork | RecurrentNetwork
    program: nn.Module
    examples: dict[str, Tensor]
    outputs: tuple[str, ...]
    about: dict[str, Any]
    trained: Trained | TrainedText
    run: str = ""

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The examples alone."""
        return tuple(self.examples.values())


def bundle(network: Trained | TrainedText, run: str = "") -> Bundle:
    """What is written of a trained network, of the run with this id."""
    if isinstance(network, TrainedText):
        program = export_text.OneToken(network.network)
        about, examples = export_text.describe(network, BATCH), export_text.examples(network)
        return Bundle(network.network, program, examples, export_text.OUTPUTS, about, network, run)
    pixels = {"pixels": _example(network.inputs)}
    images = Program(network.network, network.inputs)
    return Bundle(network.network, images, pixels, ("logits",), describe(network), network, run)


def _state_dict(made: Bundle) -> dict[str, bytes]:
    buffer = io.BytesIO()
    torch.save(official_state.export(made.network), buffer)
    metadata = dict(made.about)
    if "pixels" in made.examples:
        metadata["input"] = metadata["input"] | {"range": None, "normalised_inside": False}
    return {"-state.pt": buffer.getvalue(), "-state.json": json.dumps(metadata, indent=2).encode()}


def _torchscript(made: Bundle) -> dict[str, bytes]:
    traced = torch.jit.trace(made.program, made.inputs, check_trace=False)
    buffer, about = io.BytesIO(), json.dumps(made.about)
    torch.jit.save(torch.jit.freeze(traced.eval()), buffer, _extra_files={METADATA: about})
    return {".torchscript.pt": buffer.getvalue()}


def _torch_export(made: Bundle) -> dict[str, bytes]:
    batch = torch.export.Dim(BATCH, min=1)
    shapes = {name: {0: batch} for name in made.examples}
    exported = torch.export.export(made.program, made.inputs, dynamic_shapes=shapes)
    buffer = io.BytesIO()
    torch.export.save(exported, buffer, extra_files={METADATA: json.dumps(made.about)})
    return {".pt2": buffer.getvalue()}


def _onnx(made: Bundle) -> dict[str, bytes]:
    try:
        onnx: Any = importlib.import_module("onnx")
    except ImportError:
        raise ConfigError(
            "ONNX needs a package that is not here",
            where="--format onnx",
            remedy="pip install onnx",
        ) from None
    buffer: Any = io.BytesIO()
    names = [*made.examples, *made.outputs]
    torch.onnx.export(
        made.program,
        made.inputs,
        buffer,
        dynamo=False,
        opset_version=OPSET,
        input_names=list(made.examples),
        output_names=list(made.outputs),
        dynamic_axes={name: {0: BATCH} for name in names},
    )
    model = onnx.load_from_string(buffer.getvalue())
    onnx.helper.set_model_props(model, {METADATA: json.dumps(made.about)})
    onnx.checker.check_model(model)
    return {".onnx": model.SerializeToString()}


def _hub(made: Bundle) -> dict[str, bytes]:
    return {f"-hub/{name}": content for name, content in hub.files(made.trained, made.run).items()}


def _example(inputs: Inputs) -> Tensor:
    # Two images: torch.export treats a batch size of one as a constant.
    return torch.rand(2, *inputs.image_shape, generator=torch.Generator().manual_seed(0))


Writer = Callable[[Bundle], dict[str, bytes]]
FORMATS: dict[str, Writer] = {
    "state-dict": _state_dict,
    "torchscript": _torchscript,
    "torch-export": _torch_export,
    "onnx": _onnx,
    "hub": _hub,
}


def export(
    network: Trained | TrainedText, formats: list[str], folder: Path, stem: str, run: str = ""
) -> list[str]:
    """Write the network. No file is written unless all formats can be made.

    Args:
        network: is not changed.
        formats: names in `FORMATS`.
        folder: must exist.
        stem: beginning of the files' names.
        run: the run's id.

    Returns:
        The names of the files.

    Raises:
        RunError: a format cannot be made here, or a file cannot be written.
    """
    whole = bundle(network, run)
    made: dict[str, bytes] = {}
    with torch.no_grad():
        # What the network draws once for all images is drawn now, so that it is constant.
        whole.program(*whole.inputs)
    for name in formats:
        if name not in FORMATS:
            raise ConfigError(f"there is no format {name!r}", remedy=f"use {', '.join(FORMATS)}")
        with torch.no_grad(), warnings.catch_warnings():
            # The exporters' warnings are for authors of the network's code.
            warnings.simplefilter("ignore")
            for ending, content in FORMATS[name](whole).items():
                made[f"{stem}{ending}"] = content
    try:
        for name, content in made.items():
            if "/" in name:
                (folder / name).parent.mkdir(mode=0o700, exist_ok=True)
            write_private(folder / name, content)
    except OSError as error:
        raise RunError(
            f"the network cannot be written: {error.strerror}",
            where=str(error.filename or folder),
            remedy="choose a writable folder with --out DIR",
        ) from None
    return list(made)


def main(arguments: list[str]) -> int:
    """Export and write the answer. Returns: the exit status."""
    parser = argparse.ArgumentParser(prog="darts-tui export-network")
    parser.add_argument("config", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--checkpoint", choices=trained.CHECKPOINTS, default="best")
    parser.add_argument("--formats", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stem", required=True)
    options = parser.parse_args(arguments)
    logging.disable(logging.WARNING)

    def work() -> list[str]:
        config, folder = trained.config_of(options.config), RunFolder(options.run)
        of_run = text_trained.of_run if reads_text(config) else trained.of_run
        network = of_run(folder, options.checkpoint, config)
        record = folder.read_record()
        formats = options.formats.split(",")
        return export(network, formats, options.out, options.stem, record.id if record else "")

    return answer(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
