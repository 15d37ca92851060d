"""compose.yaml: what every container may not do, and figures that must fit those of the service."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rgp.serve.settings import Settings
from tests.docker.dockerfile import DOCKER, ROOT, stages

FILE = DOCKER / "compose.yaml"
COMPOSE = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("serve", "replica", "serve-gpu")
PROFILES = {"serve": [], "bundle": [], "serve-gpu": ["gpu"], "replica": ["scale"], "proxy": ["scale"],
            "prometheus": ["monitoring"], "grafana": ["monitoring"]}  # fmt: skip


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def default(text: str) -> str:
    """What a ${NAME:-value} is where the shell names nothing."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", re.sub(r"\$\{\w+:\+[^}]*\}", "", text))


def test_every_variable_of_the_file_stands_in_the_docs() -> None:
    asked = set(re.findall(r"\$\{(RGP_\w+)", FILE.read_text()))
    page = (ROOT / "docs" / "deployment.md").read_text()
    assert "RGP_BUNDLE" in asked
    assert [name for name in asked if f"`{name}`" not in page] == []


def plugin() -> list[str] | None:
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and not subprocess.run([*command, "version"], capture_output=True).returncode:
            return command
    return None


def test_each_service_is_in_its_profile() -> None:
    assert {name: service.get("profiles", []) for name, service in SERVICES.items()} == PROFILES


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_may_do_nothing_that_it_need_not(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"]["max-size"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "user"} & set(service)
    for volume in service.get("volumes", ()):
        assert "docker.sock" not in volume
        source, target, *mode = default(volume).split(":")
        assert mode == ["ro"] or not source.startswith("."), "files of the checkout are only read"
        if target == "/bundles" and name != "bundle":
            assert mode == ["ro"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_port_is_this_machines_alone_unless_the_shell_says_otherwise(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert default(port).startswith("127.0.0.1:")


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_has_an_exact_version_or_is_built_from_a_stage(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        assert service["build"]["target"] in stages((DOCKER / "Dockerfile").read_text())
        assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    else:
        assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+\.\d+(-alpine)?(@sha256:[0-9a-f]{64})?", service["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_from_the_checkout_or_named_is_there(name: str) -> None:
    service = SERVICES[name]
    for volume in service.get("volumes", ()):
        source = default(volume).split(":")[0]
        assert (DOCKER / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
    assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
    assert set(service.get("depends_on", ())) <= set(SERVICES)


@pytest.mark.parametrize("name", OURS)
def test_what_was_accepted_may_end_before_the_container_is_killed(name: str) -> None:
    service = SERVICES[name]
    environment = service["environment"]
    ending = int(environment["RGP_SERVE_GRACE_SECONDS"]) + int(environment["RGP_SERVE_DRAIN_SECONDS"])
    assert ending + 5 <= seconds(service["stop_grace_period"])
    assert int(environment["RGP_SERVE_DRAIN_SECONDS"]) * 1000 >= Settings().timeout_ms
    assert {key.removeprefix("RGP_SERVE_").lower() for key in environment} <= set(Settings.__dataclass_fields__)
    limits = service["deploy"]["resources"]["limits"]
    assert int(default(limits["cpus"])) >= 1  # whole cores: the plan is made of those
    assert limits["memory"]


def test_one_variable_turns_keys_on() -> None:
    assert SERVICES["serve"]["environment"]["RGP_SERVE_KEYS"] == "${RGP_KEYS:+/run/secrets/keys}"
    assert COMPOSE["secrets"]["keys"]["file"] == "${RGP_KEYS:-/dev/null}"


def test_the_proxy_knows_every_replica_and_prometheus_too() -> None:
    servers = re.findall(r"server ([\w-]+):8000 resolve ", SERVICES["proxy"]["environment"]["RGP_SERVERS"])
    assert servers == ["serve", "replica"]
    assert set(SERVICES["proxy"]["depends_on"]) == set(servers)
    (job,) = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yaml").read_text())["scrape_configs"]
    assert set(job["dns_sd_configs"][0]["names"]) == set(OURS)


@pytest.mark.skipif(plugin() is None, reason="no docker compose")
@pytest.mark.parametrize("keys", ["", "/srv/keys.toml"])
def test_compose_itself_accepts_the_file(keys: str, tmp_path: Path) -> None:
    command = plugin()
    assert command is not None
    done = subprocess.run(
        [*command, "-f", FILE, "--profile", "*", "config"],
        env={**os.environ, "RGP_KEYS": keys}, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    found = yaml.safe_load(done.stdout)
    assert found["secrets"]["keys"]["file"] == (keys or "/dev/null")
    assert found["services"]["serve"]["environment"]["RGP_SERVE_KEYS"] == ("/run/secrets/keys" if keys else "")
    assert set(found["services"]) == set(PROFILES)
