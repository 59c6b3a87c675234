"""Text: where it comes from, its tokens, and how a recurrent network reads it."""
