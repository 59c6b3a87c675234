"""What the weights see instead of the mixing weights: one file per idea."""
