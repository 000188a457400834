"""Making a loss go beyond its bound, and reading from its gradients what it teaches."""
