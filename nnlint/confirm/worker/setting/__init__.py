"""What the user's lines find around them: no arguments, no downloads, one device."""
