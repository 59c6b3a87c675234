"""How alpha is moved: one file per order."""
