"""Where the user's cache is: what is there can be fetched or computed again."""

import os
import tempfile
from pathlib import Path


def folder(name: str) -> Path:
    """`name` below $PUREJAXRRL_CACHE, or else below purejaxrrl in the user's cache folder; it need not exist."""
    if chosen := os.environ.get("PUREJAXRRL_CACHE"):
        return Path(chosen) / name
    return Path(os.environ.get("XDG_CACHE_HOME") or _home() / ".cache") / "purejaxrrl" / name


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # the user has none
        return Path(tempfile.gettempdir()) / f"purejaxrrl-{os.getuid()}"
