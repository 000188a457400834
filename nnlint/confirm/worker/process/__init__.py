"""The processes of the worker: one that imports torch, and a child of it for every experiment."""
