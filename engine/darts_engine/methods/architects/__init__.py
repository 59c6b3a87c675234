"""The axis "order": how alpha's gradient is computed, one file per order."""
