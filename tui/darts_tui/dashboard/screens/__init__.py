"""The dashboard itself and the dialogs over it."""
