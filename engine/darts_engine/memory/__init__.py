"""What will need more memory than there is, is refused before it is built."""
