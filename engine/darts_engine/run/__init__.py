"""The contract between the engine and everything that watches or steers it.

A run is a folder. Facts flow out of it (`events`), wishes flow into it (`commands`), and everything
else is a view (`state`). Nothing in this package imports torch or a terminal library.
"""
