"""Terms on alpha's loss: one file per term."""
