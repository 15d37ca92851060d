"""The library loads on CPUs that have less than the one it was built on, and takes the best that they have."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys

import pytest

from rgp.engines import native

ASK = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
library.rgp_instruction_set.restype = ctypes.c_char_p
library.rgp_peak_macs.restype = ctypes.c_double
assert library.rgp_peak_macs(ctypes.c_int64(100)) > 0
print(library.rgp_instruction_set(b"fp32").decode())
"""


@pytest.mark.skipif(not native.LIBRARY.is_file(), reason="no kernels")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="emulates x86-64")
@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="needs qemu-user")
@pytest.mark.parametrize(("cpu", "expected"), [("Haswell", "avx2"), ("Nehalem", "portable")])
def test_an_older_cpu_runs_what_it_has(cpu: str, expected: str) -> None:
    command = ["qemu-x86_64", "-cpu", cpu, sys.executable, "-S", "-c", ASK, str(native.LIBRARY)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == expected, done.stderr
