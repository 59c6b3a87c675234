"""Tabulated and predicted accuracies of derived genotypes."""
