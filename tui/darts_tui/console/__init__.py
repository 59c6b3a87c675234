"""Text to stdout and stderr, made harmless."""
