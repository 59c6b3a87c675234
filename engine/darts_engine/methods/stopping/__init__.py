"""The axis "stop": rules that end a search early, or restart it from an earlier epoch."""
