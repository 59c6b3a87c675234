"""The axis "perturbation": what the weight step computes with instead of alpha's mixing weights."""
