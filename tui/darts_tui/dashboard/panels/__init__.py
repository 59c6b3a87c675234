"""What the dashboard shows, one file per panel: a view of the run in, lines out."""
