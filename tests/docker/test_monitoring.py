"""Prometheus with the committed configuration asks a real service; each query of the dashboard is answered."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from rgp.serve.keys import new_key
from tests.docker.dockerfile import DOCKER
from tests.docker.proxy import free_port
from tests.serve.serving import serving
from tests.serve.tiny import encoded, picture, write_bundle

FOLDER = DOCKER / "prometheus"
GRAFANA = DOCKER / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "rgp.json").read_text())
QUERIES = {f"{panel['title']}, {each['legendFormat']}": each["expr"] for panel in DASHBOARD["panels"]
           for each in panel["targets"]}  # fmt: skip
JPEG = encoded(picture(), "JPEG")
MISSING = [program for program in ("prometheus", "promtool") if shutil.which(program) is None]
needs_prometheus = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {MISSING}: apt-get install prometheus")


def configuration(folder: Path, target: str, key: str) -> Path:
    """The committed one, asking ``target`` each second, with the key in a file here."""
    found = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    found["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    found["rule_files"] = [str(FOLDER / name) for name in found["rule_files"]]
    (job,) = found["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [target]}]
    (folder / "key").write_text(key)
    job["authorization"]["credentials_file"] = str(folder / "key")
    path = folder / "prometheus.yaml"
    path.write_text(yaml.safe_dump(found))
    return path


@contextmanager
def prometheus(folder: Path, configured: Path) -> Iterator[httpx.Client]:
    port = free_port()
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={configured}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log,
        )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            yield client
    finally:
        process.terminate()
        process.wait(timeout=30)


def value(client: httpx.Client, query: str) -> list[float]:
    """What a query gives now, of every series; nothing while Prometheus starts."""
    try:
        answer = client.get("/api/v1/query", params={"query": query})
    except httpx.TransportError:
        return []
    if answer.status_code == 503:  # it starts
        return []
    said: dict[str, Any] = answer.json()
    assert said["status"] == "success", f"{query}: {said}"
    return [float(series["value"][1]) for series in said["data"]["result"]]


def filled(query: str) -> str:
    """As Grafana fills in what the dashboard's reader chose."""
    return query.replace("$__rate_interval", "20s").replace("$instance", ".*")


@needs_prometheus
def test_every_query_of_the_dashboard_is_answered_from_a_real_service(tmp_path: Path) -> None:
    key, table = new_key("prometheus")
    (tmp_path / "keys.toml").write_text(table)
    bundle = write_bundle(tmp_path / "bundle")
    headers, stop = {"authorization": f"Bearer {key}"}, threading.Event()
    with serving(bundle.path, tmp_path / "log", "--baseline", "0.5", "--keys", str(tmp_path / "keys.toml")) as server:

        def ask() -> None:
            with httpx.Client(base_url=server.url, headers=headers, timeout=30) as client:
                while not stop.is_set():
                    client.post("/classify", content=JPEG)
                    client.post("/classify", content=JPEG, headers={"x-request-timeout-ms": "1"})  # mostly too late
                    time.sleep(0.1)

        caller = threading.Thread(target=ask)
        caller.start()
        try:
            with prometheus(tmp_path, configuration(tmp_path, f"{server.host}:{server.port}", key)) as client:
                unanswered, until = dict(QUERIES), time.monotonic() + 60
                while unanswered and time.monotonic() < until:
                    time.sleep(1)
                    unanswered = {
                        name: query
                        for name, query in unanswered.items()
                        if not (found := value(client, filled(query))) or any(each != each for each in found)
                    }
                assert not unanswered
                assert value(client, 'up{job="rgp"}') == [1.0]
                (group,) = client.get("/api/v1/rules").json()["data"]["groups"]
                assert {rule["health"] for rule in group["rules"]} == {"ok"}
        finally:
            stop.set()
            caller.join(timeout=30)
        exposed = set(re.findall(r"^(rgp_\w+)", httpx.get(f"{server.url}/metrics", headers=headers).text, re.MULTILINE))
    named = set(re.findall(r"\brgp_\w+", (FOLDER / "rules.yaml").read_text()))
    assert named <= exposed, "an alert on what nobody counts never fires"


@needs_prometheus
def test_the_rules_fire_when_they_should(tmp_path: Path) -> None:
    for command in (
        ["check", "rules", "rules.yaml"],
        ["test", "rules", "rules.test.yaml"],
        ["check", "config", "--syntax-only", "prometheus.yaml"],
        ["check", "config", str(configuration(tmp_path, "127.0.0.1:1", ""))],
    ):
        done = subprocess.run(["promtool", *command], cwd=FOLDER, capture_output=True, text=True)
        assert not done.returncode, done.stdout + done.stderr


def test_each_alert_is_tested_and_says_what_to_do() -> None:
    rules = [rule for group in yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"] for rule in group["rules"]]
    tested = {
        case["alertname"]: case["exp_alerts"]
        for test in yaml.safe_load((FOLDER / "rules.test.yaml").read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert {rule["alert"] for rule in rules} == set(tested)
    for rule in rules:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"].keys() == {"summary", "action"}
        assert rule["for"]


def test_the_dashboard_asks_the_source_that_is_provisioned() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]
    panels = DASHBOARD["panels"]
    assert {each["datasource"]["uid"] for panel in panels for each in (panel, *panel["targets"])} == {source["uid"]}
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = {
        (x, y)
        for grid in (panel["gridPos"] for panel in panels)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    }
    assert len(places) == sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in panels), "panels overlap"
    assert max(x for x, _ in places) < 24
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    (provider,) = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "rgp.yaml").read_text())["providers"]
    assert any(f":{provider['options']['path']}:" in volume for volume in compose["grafana"]["volumes"])
    assert source["url"] == "http://prometheus:9090"
