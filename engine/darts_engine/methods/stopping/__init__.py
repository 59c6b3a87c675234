"""When a search ends or rolls back."""
