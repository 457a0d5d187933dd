"""In front of Warp on the path: as on a machine that has no wheel of it, where XLA runs the Atari console."""

raise ImportError("left out, to see what works without it")
