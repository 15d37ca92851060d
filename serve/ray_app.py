"""The service as a Ray Serve application: the same app, once in each replica. Needs ``rgp[ray]``.

::

    serve run rgp.serve.ray_app:app bundle=/models/cat replicas=2 cpus=2 max_waiting=32

Replicas are balanced, replaced and scaled by Ray; admission, batches, answers and metrics are the service's own, of
one replica each. Ray asks each replica whether its canary is right, and replaces those where it is not.
"""

# no "from __future__ import annotations": Ray reads the annotation of ``app`` to check what it is given

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, model_validator
from ray import serve

from rgp.bundle import Bundle
from rgp.cli import Parser
from rgp.errors import EngineError, UsageError
from rgp.serve import logs, options
from rgp.serve.app import create_app
from rgp.serve.gate import MAX_READERS
from rgp.serve.keys import Keys
from rgp.serve.metrics import Metrics
from rgp.serve.models import Models
from rgp.serve.service import Service
from rgp.serve.settings import Settings

NOT_HERE = {"host", "port"}
"""Settings of a process that listens itself; here Ray's proxies do."""

HEALTH_SECONDS = 10


class Arguments(BaseModel):
    """``bundle``, ``replicas``, ``cpus`` of each, and any setting of the service by its name (``max_waiting``)."""

    model_config = ConfigDict(extra="allow")

    bundle: Path
    replicas: int = Field(1, ge=1)
    cpus: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _settings_are_right(self) -> "Arguments":
        try:
            self.settings()
        except UsageError as error:
            raise ValueError(str(error)) from error
        return self

    def settings(self) -> Settings:
        """The service's, from what is given and the environment, as rgp-serve has them; its plan fits ``cpus``.

        A lane for each CPU does most under load, unless ``threads`` or ``lanes`` say otherwise: what is measured on the
        whole machine would be wrong for a replica. Raises UsageError.
        """
        given = dict(self.model_extra or {})
        known = {field.name for field in fields(Settings)} - NOT_HERE
        if unknown := sorted(set(given) - known):
            raise UsageError(
                f"unknown argument '{unknown[0]}': give bundle, replicas, cpus, {', '.join(sorted(known))}"
            )
        parser: argparse.ArgumentParser = Parser(prog="rgp.serve.ray_app")
        options.add(parser)
        otel = str(given.pop("otel", "")).lower() in options.TRUE
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
        found = parser.parse_args([*flags, *(["--otel"] if otel else [])])
        if not found.threads:
            found.threads = max(1, self.cpus // (found.lanes or self.cpus))
        if not found.lanes:
            found.lanes = max(1, self.cpus // found.threads)
        return options.settings(found)


@serve.ingress()
class Replica:
    """One service."""

    def __init__(self, bundle: Path, settings: Settings) -> None:
        """Load the bundle; raises RgpError, and then Ray does not start the deployment."""
        keys = Keys.read(Path(settings.keys)) if settings.keys else Keys()
        metrics = Metrics()
        self._service = Service(Models.of(bundle, settings, metrics.batch), settings, metrics, keys)
        logs.install()

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Ray runs its start-up, which runs the canary, before the first request; its shutdown after the last."""
        return create_app(self._service)

    async def check_health(self) -> None:
        """Raise EngineError unless the last canary was right: Ray then replaces this replica."""
        if self._service.models.problem is not None:
            raise EngineError(f"not ready: {self._service.models.problem}")


def app(arguments: Arguments) -> serve.Application:
    """Build the application. Raises BundleError for a bundle that cannot be served."""
    Bundle.open(arguments.bundle).require_images()
    settings = arguments.settings()
    deployment: Any = serve.deployment(
        name="rgp",
        num_replicas=arguments.replicas,
        ray_actor_options={"num_cpus": arguments.cpus},
        max_ongoing_requests=MAX_READERS,  # the service refuses before that, in its own words
        logging_config={"enable_access_log": False},  # the service writes a line for each request itself
        health_check_period_s=HEALTH_SECONDS,
        graceful_shutdown_timeout_s=settings.drain_seconds,
    )(Replica)
    bound: serve.Application = deployment.bind(arguments.bundle.resolve(), settings)
    return bound
