"""The search: alpha and weights in turn."""
