"""A frame of the console as a scalar function of one lane, compiled for CPUs and GPUs: the portable path's chips, in C++."""

from purejaxrrl.environments.atari.kernel.compiled import Unavailable

__all__ = ["Unavailable"]
