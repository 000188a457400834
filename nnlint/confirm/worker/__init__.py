"""What runs in the user's interpreter: the standard library, torch and the user's lines, nothing else of nnlint."""
