"""The command line: what commands take."""
