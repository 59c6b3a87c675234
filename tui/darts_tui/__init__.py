"""The terminal of darts-tui: command line, dashboard, exports. Knows no torch and no numpy."""
