"""`python -m darts_tui` is `darts-tui`."""

from darts_tui.cli.main import main

main()
