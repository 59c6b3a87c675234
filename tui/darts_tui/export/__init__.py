"""Cells, alphas and curves as files: what a paper or a notebook needs from a run."""
