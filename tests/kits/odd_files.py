"""What may be in the place of a plain file."""

import contextlib
import socket
from pathlib import Path


def make_socket(path: Path) -> None:
    """Make a socket that nobody listens to."""
    # The path of a socket has a short limit.
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
