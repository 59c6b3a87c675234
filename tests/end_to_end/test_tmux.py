"""Inside tmux: detach and attach again with old mouse bytes, resize, and lose the server."""

import shlex
import shutil
import tempfile
from pathlib import Path

import pytest
from engine_kit import until
from house_kit import DARTS, House, goes_on
from terminal_kit import X10_CLICK, Tmux, is_running

pytestmark = pytest.mark.skipif(not shutil.which("tmux"), reason="needs tmux")


@pytest.fixture
def tmux(lived_in: House):
    # A socket's path must be shorter than those of pytest's folders.
    with tempfile.TemporaryDirectory(prefix="tmux-") as folder:
        server = Tmux(Path(folder), lived_in.environment)
        yield server
        server("kill-server", check=False)


def start(tmux: Tmux, house: House) -> int:
    """A session with a dashboard in it; its process."""
    command = shlex.join([*DARTS, "attach", "long"])
    tmux("new-session", "-d", "-x", "160", "-y", "48", "-c", str(house.home), command)
    tmux("set-option", "-g", "mouse", "on")
    tmux.shows("long", "RUNNING", "Normal cell", "[.")
    return int(tmux("display-message", "-p", "#{pane_pid}"))


@pytest.mark.slow
def test_detaching_and_attaching_with_old_mouse_bytes_does_no_harm(tmux: Tmux, lived_in: House):
    pid = start(tmux, lived_in)
    for _ in range(3):
        client = tmux.client((160, 49))
        lived_in.terminals.append(client)
        client.shows("long", "RUNNING", "Reduction cell")
        client.press(X10_CLICK)
        raw = " ".join(f"{byte:x}" for byte in X10_CLICK)
        tmux("send-keys", "-H", *raw.split())
        tmux("detach-client")
        client.wait()
        client.close()
    assert is_running(pid)
    tmux("send-keys", "2")
    tmux.shows("long", "RUNNING", "Decisions")
    tmux("send-keys", "1")
    tmux.shows("Events")


@pytest.mark.slow
def test_resizing_to_a_card_and_back_and_losing_the_server(tmux: Tmux, lived_in: House):
    pid = start(tmux, lived_in)
    for size, words in (
        ((80, 24), ("long", "RUNNING", "Normal cell")),
        ((50, 14), ("50 x 14 is too small", "The run goes on")),
        ((160, 48), ("Normal cell", "Reduction cell", "Events")),
    ):
        tmux("resize-window", "-x", str(size[0]), "-y", str(size[1]))
        tmux.shows(*words)
    tmux("kill-server")
    until(lambda: not is_running(pid), 5)
    goes_on(lived_in.run("long"))
