"""The panels of the dashboard, one per file: each turns a `View` of the run into lines."""
