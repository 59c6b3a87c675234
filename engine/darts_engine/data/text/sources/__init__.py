"""Where texts come from, a file each."""
