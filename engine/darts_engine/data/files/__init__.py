"""Downloads, and readers of file formats that run no code."""
