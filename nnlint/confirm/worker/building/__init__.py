"""Building the user's modules and finding inputs that they accept."""
