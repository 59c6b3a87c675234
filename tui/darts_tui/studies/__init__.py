"""Several runs with one report: protocol and benchmark."""
