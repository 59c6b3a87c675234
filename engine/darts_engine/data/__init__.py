"""Data sets: sources, files, batches, augmentation and streaming."""
