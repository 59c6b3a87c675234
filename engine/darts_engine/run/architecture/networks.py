"""Names of networks, for `network.network` and `darts-tui show`.

`genotype` and `recurrent` are those of a genotype's cells: of images, and of text. All others are
wide ResNets.
"""

import re
from dataclasses import dataclass
from typing import Any

from darts_engine.run.errors import ConfigError

GENOTYPE = "genotype"
RECURRENT = "recurrent"
OF_GENOTYPES = (GENOTYPE, RECURRENT)
_WIDE_RESNET = re.compile(r"wrn-(\d{1,4})-(\d{1,3})\Z")
_LOOKS_WIDE = re.compile(r"wrn-[\w-]*\Z")
# Two convolutions in each block of three groups; the first, the last and two shortcuts beside them.
PER_BLOCK = 6
OUTSIDE = 4


@dataclass(frozen=True)
class WideShape:
    """A wide ResNet: WRN-d-k of Zagoruyko and Komodakis, 2016, arXiv 1605.07146.

    Attributes:
        depth: d, convolutions in a row; 6 n + 4 for n blocks in each of three groups.
        width: k, by which the 16, 32 and 64 channels of the groups are multiplied.
    """

    depth: int
    width: int

    @property
    def name(self) -> str:
        """As in "wrn-28-10"."""
        return f"wrn-{self.depth}-{self.width}"

    @property
    def blocks(self) -> int:
        """Blocks in each of the three groups."""
        return (self.depth - OUTSIDE) // PER_BLOCK

    @property
    def channels(self) -> tuple[int, int, int]:
        """Channels of the three groups."""
        return 16 * self.width, 32 * self.width, 64 * self.width


def is_wide(name: str) -> bool:
    """Whether a name begins like that of a wide ResNet, even a malformed one."""
    return _LOOKS_WIDE.match(name) is not None


def wide_in(config: dict[str, Any]) -> str:
    """The name of the wide ResNet in a run's settings; empty if there is none."""
    table = config.get("network")
    name = table.get("network") if isinstance(table, dict) else None
    return name if isinstance(name, str) and name not in OF_GENOTYPES else ""


def parse(name: str, where: str = "") -> WideShape | None:
    """The wide ResNet of a name; None for the networks of genotypes.

    Raises:
        ConfigError: it is no network, or there is no wide ResNet of that depth and width.
    """
    if name in OF_GENOTYPES:
        return None
    found = _WIDE_RESNET.match(name)
    if found is None:
        raise ConfigError(
            f"there is no network {name[:60]!r}",
            where=where,
            remedy="use genotype, recurrent, or wrn-DEPTH-WIDTH as in wrn-28-10",
        )
    shape = WideShape(int(found[1]), int(found[2]))
    if (
        shape.depth < OUTSIDE + PER_BLOCK
        or shape.width < 1
        or ((shape.depth - OUTSIDE) % PER_BLOCK)
    ):
        raise ConfigError(
            f"there is no wide ResNet {name!r}",
            where=where,
            remedy="the depth is 6 n + 4 (10, 16, 22, 28, 34, 40 ...), the width at least 1",
        )
    return shape
