"""Every setting of a run: defaults, files, methods, recipes, refusals."""
