"""The axis "schedule": when candidates and edges are decided, one file per choice."""
