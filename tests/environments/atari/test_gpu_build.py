"""The kernel compiles for a GPU, which takes none."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"),
    reason="Warp brings NVIDIA's compiler on Linux for x86-64",
)
def test_the_kernel_compiles_for_an_h100():
    pytest.importorskip("warp", reason="Warp, which compiles the kernel, is not installed")
    program = Path(__file__).with_name("gpu_build.py")
    done = subprocess.run([sys.executable, program, "--arch", "90"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "sm_90: " in done.stdout
