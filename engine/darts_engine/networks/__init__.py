"""Networks that are trained from scratch: those of genotypes, and wide ResNets."""
