"""The service as compose.yaml starts it: no rights, only /tmp to write to, a bundle that it may only read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.serve.serving import serving
from tests.serve.tiny import encoded, picture, write_bundle

# Every file system that the service sees is read-only but an empty /tmp. In its own user namespace it is user 10001
# without a capability, whom the files of whoever runs the tests still belong to.
CONTAINER = """
bundle=$1; shift
mount --bind "$bundle" /mnt
mount --bind -o remount,ro /mnt
mount -o remount,bind,ro /
mount -t tmpfs tmpfs /tmp
exec unshare --user --map-user=10001 --map-group=10001 setpriv --no-new-privs \\
    "$PYTHON" -m rgp.serve /mnt "$@"
"""
ENTERED = ("unshare", "--mount", "--propagation", "private", "bash", "-euc", CONTAINER, "container")
possible = (
    os.getuid() == 0
    and not Path(sys.executable).is_relative_to("/tmp")  # which the service sees empty
    and all(shutil.which(program) for program in ("unshare", "setpriv"))
    and not subprocess.run(["unshare", "--mount", "--user", "true"], capture_output=True).returncode
)


@pytest.mark.skipif(not possible, reason="needs root, util-linux, namespaces, and a checkout outside of /tmp")
def test_it_serves_a_read_only_bundle_without_rights_and_ends_when_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    for name, value in {"PYTHON": sys.executable, "XDG_CACHE_HOME": "/cache", "HOME": "/cache"}.items():
        monkeypatch.setenv(name, value)
    with serving(bundle.path, tmp_path / "log", "--threads", "0", "--baseline", "0.1", command=ENTERED) as server:
        process = Path(f"/proc/{server.process.pid}")
        status = dict(line.split(":\t") for line in (process / "status").read_text().splitlines() if ":\t" in line)
        assert [int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "NoNewPrivs")] == [0, 0, 0, 1]
        mounts = [line.split() for line in (process / "mounts").read_text().splitlines()]
        root, mounted = ([each[3].split(",")[0] for each in mounts if each[1] == place] for place in ("/", "/mnt"))
        assert (root[-1], mounted[-1]) == ("ro", "ro")
        assert httpx.get(f"{server.url}/readyz").status_code == 200
        answer = httpx.post(f"{server.url}/classify", content=encoded(picture(), "JPEG"))
        assert answer.status_code == 200
        plan = httpx.get(f"{server.url}/info").json()["plan"]
        assert "measured at start" in plan["chosen"]  # nowhere to keep it is no failure
        assert server.stop() == 0
