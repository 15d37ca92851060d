"""docker/kubernetes: what kustomize makes of it is valid, and agrees with itself and with the service that it runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import rgp
from rgp.bundle import Bundle
from rgp.serve import cli, options
from rgp.serve.settings import Settings
from tests.serve.serving import app_of, ask
from tests.serve.tiny import write_bundle

DOCKER = Path(__file__).parents[2] / "docker"
KUBERNETES = DOCKER / "kubernetes"
KUBECTL = shutil.which("kubectl")
VERSIONS = ("1.32", kubernetes_validate.latest_version())
OVERLAYS = ("base", "gpu", "keys")
KSERVE = {  # what a predictor has beside the fields of a pod: kserve v1beta1, ComponentExtensionSpec
    "minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "timeout", "deploymentStrategy",
}  # fmt: skip

Document = dict[str, Any]
Render = Callable[[str], dict[str, Document]]


def valid(document: Document) -> None:
    for version in VERSIONS:
        kubernetes_validate.validate(document, version, strict=True)


@pytest.fixture(scope="module")
def render(tmp_path_factory: pytest.TempPathFactory) -> Render:
    """What kustomize makes of an overlay: the documents by their kind."""
    if KUBECTL is None:
        pytest.skip("kubectl is not installed: it has kustomize in it")
    with_keys = tmp_path_factory.mktemp("with_keys")
    places = {name: os.path.relpath(KUBERNETES / name, with_keys) for name in ("base", "keys")}
    overlay = {"resources": [places["base"]], "components": [places["keys"]]}
    (with_keys / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    rendered: dict[str, dict[str, Document]] = {}

    def of(name: str) -> dict[str, Document]:
        if name not in rendered:
            folder = with_keys if name == "keys" else KUBERNETES / name
            done = subprocess.run([KUBECTL, "kustomize", str(folder)], capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
            documents = list(yaml.safe_load_all(done.stdout))
            rendered[name] = {document["kind"]: document for document in documents}
            assert len(rendered[name]) == len(documents)
        return rendered[name]

    return of


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


def kserve() -> Document:
    document: Document = yaml.safe_load((KUBERNETES / "kserve" / "inferenceservice.yaml").read_text())
    return document


def demo() -> Document:
    document: Document = yaml.safe_load((KUBERNETES / "demo" / "job.yaml").read_text())
    return document


def pod_of(name: str, render: Render) -> Document:
    if name == "demo":
        of_job: Document = demo()["spec"]["template"]["spec"]
        return of_job
    if name == "kserve":
        return {key: value for key, value in kserve()["spec"]["predictor"].items() if key not in KSERVE}
    pod: Document = render(name)["Deployment"]["spec"]["template"]["spec"]
    return pod


def environment_of(name: str, render: Render) -> dict[str, str]:
    """All variables that a pod's manifest gives its container."""
    (container,) = pod_of(name, render)["containers"]
    given = {each["name"]: each["value"] for each in container.get("env", ())}
    for source in container.get("envFrom", ()):
        config = render(name)["ConfigMap"]
        assert source["configMapRef"]["name"] == config["metadata"]["name"]
        given = config["data"] | given
    return given


def settings_of(name: str, render: Render) -> Settings:
    parser = ArgumentParser()
    options.add(parser, environment_of(name, render))
    return options.settings(parser.parse_args([]))


PODS = pytest.mark.parametrize("name", [*OVERLAYS, "kserve"])


@pytest.mark.parametrize("name", OVERLAYS)
def test_what_kustomize_makes_is_valid(name: str, render: Render) -> None:
    documents = render(name)
    assert set(documents) == {
        "ConfigMap", "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PersistentVolumeClaim",
        "PodDisruptionBudget", "Service",
    }  # fmt: skip
    for document in documents.values():
        valid(document)


def test_a_misspelt_field_is_not_valid(render: Render) -> None:
    deployment = yaml.safe_load(yaml.safe_dump(render("base")["Deployment"]))
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        valid(deployment)


def test_every_file_belongs_to_something() -> None:
    listed = yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text())["resources"]
    there = {path.name for path in (KUBERNETES / "base").iterdir()}
    assert {*listed, "kustomization.yaml"} == there
    assert {path.name for path in KUBERNETES.iterdir()} == {"base", "demo", "gpu", "keys", "kserve", "monitoring"}


def test_the_kserve_pod_is_valid() -> None:
    document = kserve()
    assert (document["apiVersion"], document["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    predictor = document["spec"]["predictor"]
    assert predictor.keys() >= KSERVE
    pod = {key: value for key, value in predictor.items() if key not in KSERVE}
    valid({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "predictor"}, "spec": pod})
    assert predictor["containers"][0]["name"] == "kserve-container"
    deployment = {"strategy": predictor["deploymentStrategy"], "selector": {}, "template": {}}
    valid({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "p"}, "spec": deployment})


@pytest.mark.parametrize("name", OVERLAYS)
def test_selectors_find_the_pods(name: str, render: Render) -> None:
    documents = render(name)
    deployment = documents["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert documents["Service"]["spec"]["selector"] == labels
    assert documents["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    network = documents["NetworkPolicy"]["spec"]
    assert network["podSelector"]["matchLabels"] == labels
    assert network["ingress"][0]["from"][0] == {"podSelector": {}}  # everyone in the namespace
    assert network["egress"] == []
    target = documents["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    assert "replicas" not in deployment["spec"]  # the autoscaler's
    spread = pod_of(name, render)["topologySpreadConstraints"]
    assert len({each["topologyKey"] for each in spread}) == 2
    assert all(each["labelSelector"]["matchLabels"] == labels for each in spread)


@PODS
def test_ports_agree(name: str, render: Render) -> None:
    (container,) = pod_of(name, render)["containers"]
    (port,) = container["ports"]
    assert port["containerPort"] == settings_of(name, render).port
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in (port["name"], port["containerPort"])
    if name != "kserve":
        documents = render(name)
        (served,) = documents["Service"]["spec"]["ports"]
        (rule,) = documents["NetworkPolicy"]["spec"]["ingress"]
        assert [served["targetPort"]] == [each["port"] for each in rule["ports"]] == [port["name"]]
        annotations = documents["Deployment"]["spec"]["template"]["metadata"]["annotations"]
        assert annotations["prometheus.io/port"] == str(port["containerPort"])


@PODS
def test_every_variable_is_a_setting(name: str, render: Render) -> None:
    given = environment_of(name, render)
    known = {options.PREFIX + field.name.upper() for field in fields(Settings)}
    assert {each for each in given if each.startswith(options.PREFIX)} <= known
    settings = settings_of(name, render)
    assert settings.host == "0.0.0.0"
    assert settings.keys == ("/keys/keys.toml" if name == "keys" else "")


@PODS
def test_the_command_line_is_the_services(name: str, render: Render) -> None:
    pod = pod_of(name, render)
    (container,) = pod["containers"]
    assert container["command"] == ["rgp-serve"]
    variables = environment_of(name, render)
    argv = [re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], each) for each in container["args"]]
    arguments = cli._parser().parse_args(argv)
    mounts = {each["mountPath"]: each for each in container["volumeMounts"]}
    if name == "kserve":
        assert arguments.bundle == Path("/mnt/models")  # where KServe mounts what STORAGE_URI names
        assert variables["STORAGE_URI"].startswith("pvc://rgp-bundles/")
    else:
        assert arguments.bundle.parent == Path("/bundles")
        assert mounts["/bundles"]["readOnly"]
    if name == "keys":
        assert mounts["/keys"]["readOnly"]
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert {each["name"] for each in container["volumeMounts"]} == set(volumes)
    for writable in (variables["XDG_CACHE_HOME"], "/tmp"):
        assert "emptyDir" in volumes[mounts[writable]["name"]]


@PODS
def test_a_pod_that_stops_has_the_time_that_the_service_takes(name: str, render: Render) -> None:
    settings, pod = settings_of(name, render), pod_of(name, render)
    assert pod["terminationGracePeriodSeconds"] > settings.grace_seconds + settings.drain_seconds
    assert settings.drain_seconds * 1000 >= settings.timeout_ms  # every admitted request ends, or its deadline comes
    (container,) = pod["containers"]
    ready = container["readinessProbe"]
    assert ready["periodSeconds"] * ready["failureThreshold"] < settings.grace_seconds


@pytest.mark.parametrize("name", [*OVERLAYS, "kserve", "demo"])
def test_a_pod_may_do_nothing_but_its_work(name: str, render: Render) -> None:
    pod = pod_of(name, render)
    (container,) = pod["containers"]
    users = set(re.findall(r"--uid (\d+)", (DOCKER / "Dockerfile").read_text()))
    assert {str(pod["securityContext"]["runAsUser"])} == users
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not pod["automountServiceAccountToken"]
    assert container["resources"]["limits"].keys() >= {"cpu", "memory"}
    assert (
        container["resources"]["requests"]["cpu"] == container["resources"]["limits"]["cpu"]
    )  # the plan is made for it


def test_the_services_own_links_would_be_taken_for_settings(render: Render) -> None:
    name = render("base")["Service"]["metadata"]["name"]
    assert f"{name.upper().replace('-', '_')}_PORT" == f"{options.PREFIX}PORT"
    for each in (*OVERLAYS, "kserve"):
        assert pod_of(each, render)["enableServiceLinks"] is False


@PODS
def test_images_are_those_that_compose_builds(name: str, render: Render) -> None:
    (container,) = pod_of(name, render)["containers"]
    image = "rgp-serve-gpu" if name == "gpu" else "rgp-serve"
    assert container["image"] == f"{image}:{rgp.__version__}"
    compose = DOCKER / "compose.yaml"
    if not compose.exists():
        pytest.skip("there is no compose.yaml")
    services = yaml.safe_load(compose.read_text())["services"].values()
    built = {re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", service.get("image", "")) for service in services}
    assert container["image"] in built


def test_probes_and_metrics_are_what_the_service_has(render: Render, bundle: Bundle) -> None:
    paths = {"/metrics"}
    for name in (*OVERLAYS, "kserve"):
        (container,) = pod_of(name, render)["containers"]
        paths |= {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    annotations = render("base")["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] in paths

    app = app_of(bundle, bundle.target.start(bundle.files["compiled.onnx"], threads=1))
    found = dict(zip(paths, ask(app, *(("GET", path, b"") for path in paths)), strict=True))
    assert {path: answer.status_code for path, answer in found.items()} == dict.fromkeys(paths, 200)

    (rule,) = yaml.safe_load((KUBERNETES / "monitoring" / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    series = set(re.findall(r"\brgp_\w+", rule["seriesQuery"] + rule["metricsQuery"]))
    assert series == {"rgp_images_in_work", "rgp_images_in_work_limit"}
    exported = set(re.findall(r"^(rgp_\w+) ", found["/metrics"].text, re.MULTILINE))
    assert series <= exported
    metrics = render("base")["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert [each["pods"]["metric"]["name"] for each in metrics if each["type"] == "Pods"] == [rule["name"]["as"]]
    assert [each["resource"]["name"] for each in metrics if each["type"] == "Resource"] == ["cpu"]
    of_gpu = render("gpu")["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert [each["type"] for each in of_gpu] == ["Pods"]


def test_the_demo_makes_the_bundle_that_is_served(render: Render) -> None:
    job = demo()
    valid(job)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"rgp-train:{rgp.__version__}"
    _, program, bundle = container["command"]
    assert bundle == environment_of("base", render)["RGP_BUNDLE"]
    assert f"COPY docker/demo_bundle.py {program}\n" in (DOCKER / "Dockerfile").read_text()
    claims = [each["persistentVolumeClaim"]["claimName"] for each in pod_of("demo", render)["volumes"][:1]]
    assert claims == [render("base")["PersistentVolumeClaim"]["metadata"]["name"]]


def test_a_gpu_is_asked_for(render: Render) -> None:
    (container,) = pod_of("gpu", render)["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["startupProbe"]["httpGet"]["path"] == "/startupz"
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 900  # TensorRT builds engines for minutes


@pytest.mark.parametrize("name", OVERLAYS)
def test_one_pod_at_most_is_missing(name: str, render: Render) -> None:
    documents = render(name)
    assert documents["Deployment"]["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert documents["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    scaler = documents["HorizontalPodAutoscaler"]["spec"]
    assert 2 <= scaler["minReplicas"] < scaler["maxReplicas"]
