"""Chooses and sets up the device of a run: the only file that tells kinds of devices apart."""

import platform
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from darts_engine.compute.ranks import ALONE, Place
from darts_engine.run.errors import ConfigError
from darts_engine.run.settings.config import EngineSection
from darts_engine.run.threads import num_threads


def choose(engine: EngineSection, place: Place = ALONE) -> torch.device:
    """The device of a config, set up. Each of several processes gets its own GPU.

    Raises:
        ConfigError: this machine has no such device. Choose another with --device.
    """
    name = engine.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if place.size > 1 and name.startswith("cuda:"):
        raise ConfigError(f"{place.size} processes cannot share {name}", remedy="use --device cuda")
    if place.size > 1 and name == "cuda":
        name = f"cuda:{place.local_rank}"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"unknown device {name!r}", remedy="use auto, cpu, cuda or mps") from None
    is_there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not is_there.get(device.type, False):
        raise ConfigError(
            f"the device {name!r} is not here", remedy="use --device auto, or see darts-tui doctor"
        )
    torch.set_num_threads(num_threads(engine.threads, place.local_size))
    # The call imports torch's compiler, which takes as long as the import of torch.
    if engine.deterministic != torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(engine.deterministic)
    torch.backends.cudnn.benchmark = not engine.deterministic
    torch.backends.cuda.matmul.allow_tf32 = not engine.deterministic
    torch.backends.cudnn.allow_tf32 = not engine.deterministic
    return device


def autocast(device: torch.device, engine: EngineSection) -> AbstractContextManager[object]:
    """bfloat16 for the network with `amp`, else no change. The device `meta` has no autocast."""
    if not engine.amp or device.type == "meta":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def place(network: nn.Module, device: torch.device, *, channels_last: bool = True) -> None:
    """Move a network to the device, its convolutions channels-last (1.7x faster on the CPU)."""
    network.to(device)
    if not channels_last:
        return
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a small tensor from the CPU to the device, without waiting for the device.

    From pageable memory a copy to a GPU first waits for all work in its queue.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def environment(
    device: torch.device, engine: EngineSection, place: Place = ALONE
) -> dict[str, str]:
    """What bit-identical resuming depends on."""
    return {
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": str(num_threads(engine.threads, place.local_size)),
        "processes": str(place.size),
        "machine": platform.machine(),
    }
