"""Whether the target of a sample lies where its picture lies."""
