"""How many draws it takes, and how finely places are read off."""

from __future__ import annotations

DRAWS = 66
"""Draws after which a transform of probability 0.1 would have been missed once in a thousand times: 0.9 ** 66."""

ENOUGH = 8
"""Draws in which picture and target are apart after which no more are made, once there are :data:`FEWEST`."""

FEWEST = 16
LEAST = 3
"""Draws in which picture and target must be apart for it to count."""

MEASURED = 2
"""Draws of which the offset is read off pixel by pixel."""

DIGITS = 5
"""Digits to an axis that an offset is read off with: 32 steps."""

CONTROLS = 4
"""Draws of the healthy case."""


def in_others(agreeing: int) -> str:
    """That picture and target match in other draws."""
    return f"in {agreeing} other{'s' if agreeing > 1 else ''} they match"
