"""The images: what they are built from is pinned, and what they run is not root."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.docker.dockerfile import DOCKER, ROOT, Stage, ignored, stages
from tests.serve.serving import serving
from tests.serve.tiny import write_bundle

STAGES = stages((DOCKER / "Dockerfile").read_text())
SERVICES = ("serve", "serve-gpu")
TARGETS = (*SERVICES, "train")
LOCKS = {
    "build": None,
    "serve": {"serve", "cpu", "otel"},
    "serve-gpu": {"serve", "gpu", "otel"},
    "train": {"train", "graph", "compile", "cpu", "client"},
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAX_BYTES = 600e6


def pins(lock: Path) -> dict[str, set[str]]:
    """The versions that a lock file names, by package: several where they depend on Python's version."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)==([^ ]+)", lock.read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_every_base_has_an_exact_version(stage: Stage) -> None:
    assert stage.base in STAGES or re.search(r":\d+\.\d+\.\d+-[a-z0-9.-]+(@sha256:[0-9a-f]{64})?$", stage.base)


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_packages_are_pinned(stage: Stage) -> None:
    commands = [part for run in stage.all("RUN") for part in run.split("&& ")]
    for command in commands:
        if re.search(r"\bpip\b.* (install|wheel) ", command):
            assert "--no-cache-dir" in command
            assert "--require-hashes" in command or "--no-deps" in command, command
        if "apt-get install" in command:
            assert "--no-install-recommends" in command
            assert all("=" in word for word in command.split("--no-install-recommends")[1].split()), command


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_nobody_in_particular_and_says_what_it_is(target: str) -> None:
    stage = STAGES[target]
    assert stage.all("USER")[-1] == "10001:10001"
    assert stage.steps.index(("USER", "10001:10001")) > max(
        number for number, (name, _) in enumerate(stage.steps) if name in ("RUN", "COPY")
    ), "what is installed is not the user's to change"
    labels = " ".join(stage.all("LABEL"))
    for label in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in labels
    assert f"VERSION={PROJECT['version']}" in stage.all("ARG")


@pytest.mark.parametrize("target", SERVICES)
def test_signals_reach_the_service_and_its_health_is_asked_for(target: str) -> None:
    stage = STAGES[target]
    assert json.loads(stage.all("ENTRYPOINT")[-1]) == ["rgp-serve"]  # a list: no shell between
    assert json.loads(stage.all("CMD")[-1])
    (health,) = stage.all("HEALTHCHECK")
    assert json.loads(health.partition("CMD ")[2])[-1] == "/opt/rgp/ready.py"
    assert ("COPY", "docker/ready.py /opt/rgp/ready.py") in stage.steps


@pytest.mark.parametrize("target", SERVICES)
def test_a_service_image_installs_nothing_itself(target: str) -> None:
    assert not re.search(r"\bpip\b|apt-get|gcc|curl", " ".join(STAGES[target].all("RUN")))


@pytest.mark.parametrize("target", TARGETS)
def test_no_image_sends_telemetry(target: str) -> None:
    assert "ORT_DISABLE_TELEMETRY=1" in STAGES[target].all("ENV")[0]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    rules = (ROOT / ".dockerignore").read_text()
    for stage in STAGES.values():
        for copy in stage.all("COPY"):
            *sources, _ = copy.split()
            if not sources[0].startswith("--from=") and sources != ["."]:
                assert all((ROOT / source).exists() and not ignored(source, rules) for source in sources), copy
    for needed in ("setup.py", "rgp/__init__.py", "rgp/serve", "serve/page/index.html", "compile/kernels/avx2.cpp"):
        assert (ROOT / needed).exists()
        assert not ignored(needed, rules), needed
    for unwanted in (".git", ".venv", "runs", "docker/compose.yaml", "compile/kernels/librgp_kernels.so", "keys.toml",
                     "serve/__pycache__", "tests"):  # fmt: skip
        assert ignored(unwanted, rules), unwanted


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_hashes_and_the_versions_that_are_tested(name: str) -> None:
    lock = DOCKER / "locks" / f"{name}.lock"
    text, tested = lock.read_text(), pins(ROOT / "requirements.lock")
    blocks = re.split(r"\n(?=[a-z0-9])", text.strip())
    assert all("--hash=sha256:" in block for block in blocks)
    different = {
        package: (versions, tested[package])
        for package, versions in pins(lock).items()
        if package in tested and not versions <= tested[package]
    }
    assert not different, "run make lock"


@pytest.mark.parametrize("name", [name for name, extras in LOCKS.items() if extras])
def test_a_lock_has_what_its_extras_ask_for_and_no_others(name: str) -> None:
    locked, extras = set(pins(DOCKER / "locks" / f"{name}.lock")), LOCKS[name] or set()
    optional = PROJECT["optional-dependencies"]
    asked = [*PROJECT["dependencies"], *(each for extra in extras for each in optional[extra])]
    wanted = {re.split(r"[^\w-]", each)[0].lower() for each in asked}
    assert wanted <= locked, "run make lock"
    assert ("torch" in locked) == (name == "train")
    assert ("onnxruntime" in locked) != ("onnxruntime-gpu" in locked)


@pytest.mark.slow
def test_the_commands_of_the_serve_image_give_a_small_service_without_torch(tmp_path: Path) -> None:
    """Each step of the stages that fill /opt/rgp, in empty folders; needs the package index."""
    shutil.copytree(
        ROOT, tmp_path / "context", symlinks=True,
        ignore=lambda folder, names: {
            name for name in names
            if ignored((Path(folder) / name).relative_to(ROOT).as_posix(), (ROOT / ".dockerignore").read_text())
            and (Path(folder) / name) != DOCKER
        },
    )  # fmt: skip
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "python"], check=True)
    places = {"/opt/rgp": "opt/rgp", "/wheels": "wheels", "/serve.lock": "serve.lock"}
    for name in ("wheel", "serve-environment"):
        work = tmp_path / name
        work.mkdir()
        for instruction, text in STAGES[name].steps:
            if instruction == "RUN":
                for place, here in places.items():
                    text = text.replace(place, str(tmp_path / here))
                path = f"{tmp_path / 'python/bin'}:{os.environ['PATH']}"
                done = subprocess.run(
                    ["bash", "-euc", text], cwd=work, env={**os.environ, "PATH": path}, capture_output=True, text=True
                )
                assert not done.returncode, f"{text}\n{done.stdout}{done.stderr}"
            elif instruction == "COPY" and "--from=" not in text:
                source, target = text.split()
                source_path = tmp_path / "context" / source
                if source == ".":
                    shutil.copytree(source_path, work, symlinks=True, dirs_exist_ok=True)
                else:
                    shutil.copy(source_path, tmp_path if target == "/" else work)
    python = tmp_path / "opt/rgp/bin/python"
    size = sum(path.lstat().st_size for path in (tmp_path / "opt/rgp").rglob("*"))
    assert size < MAX_BYTES / 2, f"{size / 1e6:.0f} MB beside a base of some 130 MB"
    for module in ("torch", "pip", "setuptools"):
        assert subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode, module
    bundle = write_bundle(tmp_path / "bundle")
    with serving(bundle.path, tmp_path / "log", command=[str(python.with_name("rgp-serve"))]) as server:
        checked = subprocess.run(
            [python, "-I", DOCKER / "ready.py"],
            env={"RGP_SERVE_PORT": str(server.port)},
            capture_output=True,
            text=True,
        )
        assert (checked.returncode, checked.stdout) == (0, '200 {"status":"ok"}\n')
        assert server.stop() == 0
    assert subprocess.run(
        [python, "-I", DOCKER / "ready.py"], env={"RGP_SERVE_PORT": str(server.port)}, capture_output=True
    ).returncode
