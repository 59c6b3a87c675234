"""Programs that the terminal runs as child processes; they answer in JSON."""
