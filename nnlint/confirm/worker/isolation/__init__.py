"""What keeps an experiment from harming the machine: namespaces, filters, limits, a clean environment."""
