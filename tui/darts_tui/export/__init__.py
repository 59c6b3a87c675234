"""Pictures and tables of a run for papers and notebooks: cells, alphas, curves."""
