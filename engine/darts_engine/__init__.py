"""The engine of darts-tui: searches cells with DARTS and its kin, and trains what they find.

Where to begin:

1. `search/task.py` tells one step of a search, top to bottom.
2. `supernet/plain.py` is the network that a search trains, as the paper defines it.
3. `methods/method.py` puts a method together from a choice on each axis.
4. `runner/loop.py` drives any task through its epochs; `runner/session.py` is its run folder.
5. `run/` is the contract with whoever watches: no torch in there, and none in the terminal.

Rooms stand on floors: each imports only from those below it (`pyproject.toml`, importlinter).
"""
