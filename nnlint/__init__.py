"""A linter for the mistakes that training scripts make in silence."""

from pathlib import Path as _Path

__version__ = "0.1.0"

# A wheel carries the rules inside the package; in a checkout they lie beside it.
if not (_Path(__file__).parent / "rules").is_dir():
    __path__.append(str(_Path(__file__).parent.parent))
