"""How alpha becomes mixing weights: one file per relaxation."""
