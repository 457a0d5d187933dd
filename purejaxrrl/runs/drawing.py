"""Matplotlib, for files alone: nothing here shows anything, whatever `MPLBACKEND` says.

A notebook sets that for itself and for the programs that it starts, whose Python may lack its backend; matplotlib then cannot be
imported. Where it is there, `pyplot` has it still, so that the notebook's own figures appear.
"""

import contextlib
import os

_BACKEND = os.environ.pop("MPLBACKEND", None)
try:
    from matplotlib import colormaps, rcParams
    from matplotlib.figure import Figure
finally:
    if _BACKEND is not None:
        os.environ["MPLBACKEND"] = _BACKEND
if _BACKEND is not None:
    with contextlib.suppress(ValueError):
        rcParams["backend"] = _BACKEND

__all__ = ["Figure", "colormaps"]
