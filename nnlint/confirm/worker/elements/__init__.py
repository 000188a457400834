"""Where a view puts the elements of a tensor, and what depends on it."""
