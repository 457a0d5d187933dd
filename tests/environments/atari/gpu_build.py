"""Compiles the kernel for a GPU, without one, and says what a thread of it takes where `cuobjdump` can be had.

    python tests/environments/atari/gpu_build.py --arch 90

`cuobjdump` is part of the CUDA toolkit and the package nvidia-cuda-cuobjdump. Exits with an error where the compiler finds one.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import warp

from purejaxrrl.environments.atari.kernel import modules


def cuobjdump() -> str | None:
    """The path of the tool, or None."""
    if found := shutil.which("cuobjdump"):
        return found
    package = importlib.util.find_spec("nvidia")
    places = [] if package is None else [Path(place) for place in package.submodule_search_locations]
    return next((str(tool) for place in places for tool in place.glob("cu*/bin/cuobjdump")), None)


def resources(binary: Path, tool: str) -> dict[str, dict[str, int]]:
    """For each kernel: registers of a thread (REG), bytes of its stack (STACK) and what else the tool names."""
    text = subprocess.run([tool, "--dump-resource-usage", binary], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"Function (\w+):\s+(.*)", text)
    return {name: {key: int(n) for key, n in re.findall(r"([A-Z]+):(\d+)", use)} for name, use in found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", type=int, default=90, help="compute capability, times ten")
    options = parser.parse_args()
    warp.init()
    gpu = modules.for_gpu()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        binaries = warp.compile_aot_module(gpu.module, arch=options.arch, use_ptx=False, module_dir=folder)
        binary = next(Path(path) for path in binaries if str(path).endswith(".cubin"))
        print(f"sm_{options.arch}: {binary.stat().st_size} bytes in {time.perf_counter() - started:.0f} s")
        tool = cuobjdump()
        if tool is None:
            print("what a thread takes is not known: there is no cuobjdump (pip install nvidia-cuda-cuobjdump)")
            return
        for name, use in resources(binary, tool).items():
            print(f"{name}: {use['REG']} registers, {use['STACK']} bytes of stack")


if __name__ == "__main__":
    main()
