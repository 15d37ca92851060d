"""Builds the kernels with stress.cpp and runs it, in four ways: ``python -m tests.compile.kernels.sanitize``.

plain, under AddressSanitizer and UndefinedBehaviorSanitizer, under ThreadSanitizer, and for AArch64 under qemu. What
cannot be built or run here is skipped and says so.
"""

from __future__ import annotations

import argparse
import os
import platform
import secrets
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

STRESS = Path(__file__).with_name("stress.cpp")
KERNELS = Path(__file__).parents[3] / "compile" / "kernels"
INSTRUCTIONS = {"avx512": ["-mavx512f", "-mprfchw", "-w"], "avx2": ["-mavx2", "-mfma"]}  # as setup.py has them
LONGEST_FIRST = ["avx512", "avx2", "neon", "portable", "run", "layer", "reference", "dispatch"]


@dataclass(frozen=True)
class Way:
    """How the stress test is built and run. The short run optimises little, since compiling is most of it."""

    short: tuple[str, int]  # optimisation, cases
    long: tuple[str, int]
    flags: tuple[str, ...] = ()
    compiler: str = os.environ.get("CXX", "c++")
    runner: tuple[str, ...] = ()
    x86: bool = platform.machine() == "x86_64"


# Without optimisation gcc's address checks compile four times as fast.
WAYS = {
    "plain": Way(("-O1", 400), ("-O3", 10_000)),
    "address": Way(("-O0", 150), ("-O1", 2000), ("-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")),
    "thread": Way(("-O0", 100), ("-O1", 1000), ("-g1", "-fsanitize=thread")),
    "neon": Way(("-O1", 100), ("-O3", 1000), ("-static",), "aarch64-linux-gnu-g++", ("qemu-aarch64",), x86=False),
}


def absent(way: Way, folder: Path) -> str | None:
    """Why ``way`` cannot be gone here, None if it can: it is tried with an empty program, made in ``folder``."""
    for program in (way.compiler, *way.runner):
        if not shutil.which(program):
            return f"there is no {program}"
    source = folder / "empty.cpp"
    source.write_text("int main() {}\n")
    for command in ([way.compiler, *way.flags, source, "-o", folder / "empty"], [*way.runner, folder / "empty"]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            return f"{command[0]} fails on an empty program: {(done.stderr.splitlines() or ['without a word'])[0]}"
    return None


def build(way: Way, optimisation: str, folder: Path) -> Path:
    """Compile in ``folder`` and link; returns the program. Raises CalledProcessError; the compiler tells why."""
    command = [way.compiler, "-std=c++17", "-pthread", "-D_GLIBCXX_ASSERTIONS", optimisation, *way.flags]

    def compiled(source: Path) -> Path:
        made = folder / f"{source.stem}.o"
        own = INSTRUCTIONS.get(source.stem, []) if way.x86 else []
        subprocess.run([*command, *own, "-I", KERNELS, "-c", source, "-o", made], check=True)
        return made

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compiled, [*(KERNELS / f"{name}.cpp" for name in LONGEST_FIRST), STRESS]))
    program = folder / "stress"
    subprocess.run([*command, *objects, "-o", program], check=True)
    return program


def run(way: Way, program: Path, cases: int, seed: int) -> subprocess.CompletedProcess[str]:
    """Run the stress test; what it prints is in ``stdout``, both streams."""
    command = [*way.runner, program, "--cases", str(cases), "--seed", str(seed)]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def main() -> int:
    """Go the ways that are named, all by default; 1 if any fails."""
    parser = argparse.ArgumentParser(description="stress the native kernels under sanitizers")
    parser.add_argument("--long", action="store_true", help="about ten minutes, other cases at every run")
    parser.add_argument("ways", nargs="*", choices=[*WAYS, []], default=list(WAYS))
    arguments = parser.parse_args()
    seed = secrets.randbelow(1 << 40) if arguments.long else 1
    failed = False
    for name in arguments.ways:
        way = WAYS[name]
        optimisation, cases = way.long if arguments.long else way.short
        with tempfile.TemporaryDirectory() as folder:
            reason = absent(way, Path(folder))
            if reason:
                print(f"{name}: skipped: {reason}", flush=True)
                continue
            done = run(way, build(way, optimisation, Path(folder)), cases, seed)
        print(f"{name} {optimisation}, seed {seed}:\n{done.stdout}", flush=True)
        failed |= done.returncode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
