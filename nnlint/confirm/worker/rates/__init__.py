"""How the learning rate of a script goes over its run."""
