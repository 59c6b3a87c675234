"""Our supernet against a plain one, side by side in one run: `darts-tui bench`."""
