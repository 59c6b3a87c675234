"""The contract between the engine and everything that watches or steers it.

A run is a folder. Events flow out of it (`events`), commands flow into it (`commands`), and
everything else is a view (`state`). Nothing in this package imports torch or a terminal library.
"""
