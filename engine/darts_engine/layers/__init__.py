"""The operations of a cell and the layers they are made of."""
