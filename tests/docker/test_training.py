"""docker/training: the jobs are valid, their command lines parse; the Slurm script runs on two machines of paper."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import rgp
from rgp.checkpoint import Checkpoint
from rgp.train.config import load
from rgp.train.history import History
from tests.train.painted import write_shards

ROOT = Path(__file__).parents[2]
TRAINING = ROOT / "docker" / "training"
IN_IMAGE = "/opt/rgp/configs"

Document = dict[str, Any]


def documents(name: str) -> list[Document]:
    return list(yaml.safe_load_all((TRAINING / name).read_text()))


def pod_templates() -> dict[str, Document]:
    (pytorch,) = documents("pytorchjob.yaml")
    runtime, _ = documents("trainjob.yaml")
    (node,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    replicas = pytorch["spec"]["pytorchReplicaSpecs"]
    return {
        "master": replicas["Master"]["template"],
        "worker": replicas["Worker"]["template"],
        "node": node["template"]["spec"]["template"],
    }


def arguments() -> dict[str, list[str]]:
    trainer: Document = documents("trainjob.yaml")[1]["spec"]["trainer"]
    (container,) = pod_templates()["master"]["spec"]["containers"]
    return {"pytorchjob": container["args"], "trainjob": trainer["args"]}


@pytest.mark.parametrize("name", ["master", "worker", "node"])
def test_the_pods_are_valid_and_may_do_nothing_but_train(name: str) -> None:
    template = pod_templates()[name]
    job = {"template": {"spec": template["spec"] | {"restartPolicy": "OnFailure"}}}
    for version in ("1.32", kubernetes_validate.latest_version()):
        kubernetes_validate.validate(
            {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": job}, version, strict=True
        )
    pod = template["spec"]
    (container,) = pod["containers"]
    assert container["image"] == f"rgp-train:{rgp.__version__}"
    assert container["name"] == ("node" if name == "node" else "pytorch")
    assert container["command"] == ["torchrun", "-m", "rgp.train"]
    assert {each["name"] for each in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["terminationGracePeriodSeconds"] > 30  # torchrun gives its processes so long


@pytest.mark.parametrize("name", ["pytorchjob", "trainjob"])
def test_the_command_lines_are_rgp_trains(name: str) -> None:
    given = arguments()[name]
    config = load([each.replace(IN_IMAGE, str(ROOT / "configs")) for each in given])
    assert (config.data, config.runs, config.resume) == ("webdataset:/data/shards", "/runs", "auto")
    assert config.save_steps > 0
    (container,) = pod_templates()["node"]["spec"]["containers"]
    mounts = {each["mountPath"] for each in container["volumeMounts"]}
    assert {"/data", "/runs", "/dev/shm"} <= mounts
    assert f"COPY configs {IN_IMAGE}\n" in (ROOT / "docker" / "Dockerfile").read_text()


def test_the_jobs_are_of_one_size() -> None:
    (pytorch,) = documents("pytorchjob.yaml")
    runtime, job = documents("trainjob.yaml")
    trainer = job["spec"]["trainer"]
    replicas = pytorch["spec"]["pytorchReplicaSpecs"]
    assert sum(each["replicas"] for each in replicas.values()) == trainer["numNodes"] == 2
    (container,) = pod_templates()["master"]["spec"]["containers"]
    assert container["resources"] == trainer["resourcesPerNode"]
    assert int(pytorch["spec"]["nprocPerNode"]) == trainer["numProcPerNode"] == 8
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "8"
    assert job["spec"]["runtimeRef"]["name"] == runtime["metadata"]["name"]
    assert arguments()["pytorchjob"] == arguments()["trainjob"]


SRUN = """#!/bin/bash
# two machines of paper: what Slurm would start on each
shift # srun's own option
for node in 0 1; do SLURM_NODEID=$node "$@" & pids+=($!); done
for pid in "${pids[@]}"; do wait "$pid" || exit 1; done
"""
SCONTROL = """#!/bin/bash
[ "$*" = "show hostnames here,there" ] && printf '127.0.0.1\\nthere\\n'
"""


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """The environment of a job on two machines."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (commands / name).write_text(text)
        (commands / name).chmod(stat.S_IRWXU)
    with socket.socket() as free:  # the script's port follows from the job's number
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for job in range(1000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", 29500 + (port + job) % 1000)):
                break
    path = f"{commands}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    of_job = {"SLURM_JOB_ID": str((port + job) % 1000), "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "here,there"}
    return os.environ | of_job | {"PATH": path, "PROCESSES": "1", "OMP_NUM_THREADS": "1"}


def test_the_slurm_job_trains_on_two_machines(slurm: dict[str, str], tmp_path: Path) -> None:
    shards = write_shards(tmp_path, [32, 32], [9])
    command = [
        *("bash", str(TRAINING / "slurm.sbatch"), "--data", f"webdataset:{shards}", "--image_size", "8"),
        *("--width", "8", "--batch_size", "16", "--device", "cpu", "--runs", str(tmp_path / "runs"), "--epochs", "1"),
    ]
    done = subprocess.run(command, env=slurm, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 1/1") == 1  # one of the two speaks
    (run,) = (tmp_path / "runs" / "default").iterdir()
    assert [(epoch.epoch, epoch.steps) for epoch in History(run / "history.csv").read()] == [(1, 4)]
    saved = Checkpoint.load(run / "checkpoints" / "last.pth")
    assert len(saved.training["random"]) == 2  # of each process
    settings = yaml.safe_load((run / "config.yaml").read_text())
    assert settings["resume"] == "auto"  # submitted again, it goes on
