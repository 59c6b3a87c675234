"""Files as they come: downloads, archives, and readers that run no code."""
