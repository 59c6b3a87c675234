"""Random numbers without a saved generator state: every draw comes from a named stream.

A stream is named by (seed, purpose, epoch, step), so a run that is resumed at any step, or repeats
one, draws the same numbers.
"""

import hashlib

import torch


def seed_of(seed: int, purpose: str, epoch: int = 0, step: int = 0) -> int:
    """The 63-bit seed of a stream."""
    name = f"{seed}/{purpose}/{epoch}/{step}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") >> 1


def generator(
    seed: int, purpose: str, epoch: int = 0, step: int = 0, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A fresh generator at the start of a stream, on a device; `meta` gets the CPU's."""
    if torch.device(device).type == "meta":
        device = "cpu"
    return torch.Generator(device).manual_seed(seed_of(seed, purpose, epoch, step))
