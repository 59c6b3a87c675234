"""When candidates and edges are decided: one file per schedule."""
