"""Training of a derived network or a wide ResNet."""
