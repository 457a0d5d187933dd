"""Reincarnating reinforcement learning (Agarwal et al., NeurIPS 2022) as pure JAX functions."""

from importlib.metadata import PackageNotFoundError, version

from purejaxrrl.environments import make

try:
    __version__ = version("purejaxrrl")
except PackageNotFoundError:  # a source tree on the path, not installed
    __version__ = "unknown"

__all__ = ["__version__", "make"]
