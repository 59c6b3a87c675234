"""Networks that are trained from scratch: derived ones and wide ResNets."""
