"""The axis "relaxation": how alpha becomes mixing weights, one file per choice."""
