"""A Ray of its own with the service on it, for the tests: ``python -m tests.serve.ray_driver PORT KEY=VALUE ...``.

It prints a line when it serves; each line on its standard input is a further KEY=VALUE to deploy anew with.
"""

from __future__ import annotations

import logging
import os
import sys

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray
from ray import serve

from rgp.serve.ray_app import Arguments, app


def main(port: str, *given: str) -> None:
    arguments = dict(each.split("=", 1) for each in given)
    ray.init(
        num_cpus=4, include_dashboard=False, object_store_memory=100 << 20, logging_level=logging.ERROR,
        _node_ip_address="127.0.0.1",
    )  # fmt: skip
    serve.start(http_options={"host": "127.0.0.1", "port": int(port)}, logging_config={"enable_access_log": False})
    try:
        serve.run(app(Arguments.model_validate(arguments)))
        print("serving", flush=True)
        for line in sys.stdin:
            name, value = line.strip().split("=", 1)
            arguments[name] = value
            serve.run(app(Arguments.model_validate(arguments)))
            print("serving", flush=True)
    finally:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
