"""Builds the native kernels of compile/kernels/ into a plain shared library; everything else is in pyproject.toml.

Where there is no C++ compiler, or not one like gcc, the package installs without them and says so: compiled networks
then run the stock operators that stand beside each kernel in their files.
"""

from __future__ import annotations

import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

KERNELS = Path("compile/kernels")
FLAGS = ["-std=c++17", "-O3", "-g0", "-fvisibility=hidden"]
LINKED = ["-static-libstdc++", "-static-libgcc"]  # runs beside any other C++ runtime
# gcc 12 warns of its own AVX-512 header
AVX512 = ["-mavx512f", "-mprfchw", "-Wno-uninitialized", "-Wno-maybe-uninitialized"]
INSTRUCTIONS = {
    "x86_64": {
        "avx512.cpp": AVX512,
        "avx512_bf16.cpp": [*AVX512, "-mavx512bw", "-mavx512vl", "-mavx512bf16"],
        "avx512_vnni.cpp": [*AVX512, "-mavx512bw", "-mavx512vl", "-mavx512vnni"],
        "avx2.cpp": ["-mavx2", "-mfma"],
    }
}


class BuildKernels(build_ext):
    """One translation unit for each instruction set, with its own flags."""

    def run(self) -> None:
        """Build, or go on without."""
        try:
            if sys.platform != "linux":
                raise OSError(f"the kernels are built on Linux only, this is {sys.platform}")
            super().run()
        except Exception as error:  # a package without them is better than none
            self.extensions = []  # nor is there a file to copy
            print(f"rgp: WITHOUT native kernels ({error}); networks run stock operators instead", file=sys.stderr)

    def build_extension(self, extension: Extension) -> None:
        """Compile each source with its flags, and link."""
        compiler: Any = self.compiler
        flags = INSTRUCTIONS.get(platform.machine(), {})
        out = Path(self.get_ext_fullpath(extension.name))
        out.parent.mkdir(parents=True, exist_ok=True)

        def compiled(source: str) -> list[str]:
            wanted = [*FLAGS, *flags.get(Path(source).name, [])]
            objects: list[str] = compiler.compile([source], output_dir=self.build_temp, extra_postargs=wanted)
            return objects

        with ThreadPoolExecutor(2) as pool:
            objects = [each for found in pool.map(compiled, extension.sources) for each in found]
        compiler.link_shared_object(objects, str(out), extra_postargs=LINKED, target_lang="c++")

    def get_ext_filename(self, fullname: str) -> str:
        """Its own name: it is no Python module."""
        return str(Path(*fullname.split(".")).with_suffix(".so"))


class Wheel(bdist_wheel):
    """For one platform and every Python: the library knows nothing of Python."""

    def get_tag(self) -> tuple[str, str, str]:
        """Python, ABI, platform."""
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[
        Extension(
            "rgp.compile.kernels.librgp_kernels",
            sources=[source.as_posix() for source in sorted(KERNELS.glob("*.cpp"))],
            depends=[header.as_posix() for header in sorted(KERNELS.glob("*.h"))],
        )
    ],
    cmdclass={"build_ext": BuildKernels, "bdist_wheel": Wheel},
)
