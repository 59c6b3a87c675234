"""The engine: supernets, methods, data and loops. Knows torch, and nothing of terminals.

`darts_engine.run` is the contract that watchers share with it, and is free of torch.
"""
