"""Samples of the user's loaders, loaded again: in another state of the generators, in another process."""
