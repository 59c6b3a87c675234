"""The contract between the engine and everything that watches or steers it.

A run is a folder. The engine writes events (`events`) into it and reads commands (`commands`) from
it; `state` folds the events of a run into one value. Nothing in this package imports torch or a
terminal library.
"""
