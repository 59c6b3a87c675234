"""Things drawn line by line: each turns plain values into lines of styled spans."""
