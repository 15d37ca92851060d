"""Builds the kernels with stress.cpp and runs it, in four ways: ``python -m tests.compile.kernels.sanitize``.

plain, under AddressSanitizer and UndefinedBehaviorSanitizer, under ThreadSanitizer, and for AArch64 under qemu. What
cannot be built or run here is skipped and says so.
"""

from __future__ import annotations

import argparse
import os
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
INSTRUCTIONS = {  # as setup.py has them
    "avx512": ("-mavx512f", "-mprfchw"),
    "avx512_bf16": ("-mavx512f", "-mprfchw", "-mavx512bw", "-mavx512vl", "-mavx512bf16"),
    "avx512_vnni": ("-mavx512f", "-mprfchw", "-mavx512bw", "-mavx512vl", "-mavx512vnni"),
    "avx2": ("-mavx2", "-mfma"),
}
LONGEST_FIRST = (*INSTRUCTIONS, "neon", "portable", "run", "layer", "winograd", "source", "reference", "dispatch")


def cpu_sets() -> tuple[str, ...]:
    """The sets of instructions in INSTRUCTIONS that this CPU has, the widest first."""
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text().split()) if info.is_file() else set()
    needed = {
        "avx512": {"avx512f"},
        "avx512_bf16": {"avx512f", "avx512bw", "avx512vl", "avx512_bf16"},
        "avx512_vnni": {"avx512f", "avx512bw", "avx512vl", "avx512_vnni"},
        "avx2": {"avx2", "fma"},
    }
    return tuple(name for name in INSTRUCTIONS if needed[name] <= flags)


@dataclass(frozen=True)
class Effort:
    """How much a run does. A set of instructions that is not in ``sets`` is built as on a CPU without it."""

    flags: tuple[str, ...]
    cases: int
    sets: tuple[str, ...] = cpu_sets()


@dataclass(frozen=True)
class Way:
    """How the stress test is built and run. In a short run compiling is most of the time, so it optimises little."""

    short: Effort
    long: Effort
    flags: tuple[str, ...] = ()
    compiler: str = os.environ.get("CXX", "c++")
    runner: tuple[str, ...] = ()


# In its short run AddressSanitizer goes without what makes compiling five times as long: optimisation, and the checks
# of UndefinedBehaviorSanitizer that see little beside it.
QUICK = ("-O0", "-fno-sanitize=null,alignment,object-size,pointer-overflow")
WAYS = {
    "plain": Way(Effort(("-O1",), 500), Effort(("-O3",), 12_000)),
    "address": Way(
        Effort(QUICK, 80, cpu_sets()[:2]),  # AVX-512 with what it has for int8
        Effort(("-O1",), 2500),
        ("-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    ),
    "thread": Way(Effort(("-O1",), 60, cpu_sets()[-1:]), Effort(("-O1",), 700), ("-g1", "-fsanitize=thread")),
    "neon": Way(
        Effort(("-O1",), 60, ()), Effort(("-O3",), 800, ()), ("-static",), "aarch64-linux-gnu-g++", ("qemu-aarch64",)
    ),
}


def absent(way: Way, folder: Path) -> str | None:
    """Why ``way`` cannot be gone here, None if it can: an empty program is built in ``folder`` and run."""
    for program in (way.compiler, *way.runner):
        if not shutil.which(program):
            return f"there is no {program}"
    source, made = folder / "empty.cpp", folder / "empty"
    source.write_text("int main() {}\n")
    for command in ([way.compiler, *way.flags, str(source), "-o", str(made)], [*way.runner, str(made)]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            return f"{command[0]} fails on an empty program: {(done.stderr.splitlines() or ['without a word'])[0]}"
    return None


def build(way: Way, effort: Effort, folder: Path) -> Path:
    """Compile and link in ``folder``; returns the program. Raises CalledProcessError, the compiler has told why."""
    command = [way.compiler, "-std=c++17", "-pthread", "-w", "-D_GLIBCXX_ASSERTIONS", *way.flags, *effort.flags]

    def compiled(source: Path) -> Path:
        made = folder / f"{source.stem}.o"
        own = INSTRUCTIONS[source.stem] if source.stem in effort.sets else ()
        subprocess.run([*command, *own, "-I", KERNELS, "-c", source, "-o", made], check=True)
        return made

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compiled, [*(KERNELS / f"{name}.cpp" for name in LONGEST_FIRST), STRESS]))
    subprocess.run([*command, *objects, "-o", folder / "stress"], check=True)
    return folder / "stress"


def run(way: Way, program: Path, cases: int, seed: int) -> subprocess.CompletedProcess[str]:
    """Run the stress test; ``stdout`` has what it says on both streams."""
    command = [*way.runner, str(program), "--cases", str(cases), "--seed", str(seed)]
    environment = {**os.environ, "TSAN_OPTIONS": "halt_on_error=1"}  # so that it tells the case
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def main() -> int:
    """Go the ways that are named, all by default; 1 if any fails."""
    parser = argparse.ArgumentParser(description="stress the native kernels under sanitizers")
    parser.add_argument("--long", action="store_true", help="about ten minutes, with other cases each time")
    parser.add_argument("ways", nargs="*", help=f"some of {', '.join(WAYS)}; all by default")
    arguments = parser.parse_args()
    if unknown := set(arguments.ways) - set(WAYS):
        parser.error(f"no such way: {', '.join(sorted(unknown))}")
    seed = secrets.randbelow(1 << 40) if arguments.long else 1
    failed = False
    for name in arguments.ways or WAYS:
        way = WAYS[name]
        effort = way.long if arguments.long else way.short
        with tempfile.TemporaryDirectory() as folder:
            reason = absent(way, Path(folder))
            if reason:
                print(f"{name}: skipped: {reason}", flush=True)
                continue
            done = run(way, build(way, effort, Path(folder)), effort.cases, seed)
        print(f"{name}, seed {seed}:\n{done.stdout}", flush=True)
        failed |= done.returncode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
