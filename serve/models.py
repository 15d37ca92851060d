"""The network that answers, and the one before it: exchanged whole, or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from rgp.bundle import Bundle
from rgp.errors import BundleError, RgpError, UsageError
from rgp.serve.answers import Loaded
from rgp.serve.network import Network
from rgp.serve.settings import Settings

logger = logging.getLogger("rgp.serve")


class Models:
    """``active`` answers every request that begins now. One exchange at a time."""

    def __init__(self, active: Network, make: Callable[[Network], Network]) -> None:
        """``make`` loads the bundle anew from where it was, to stand in for a network; it may raise RgpError."""
        self.active = active
        self.previous: Network | None = None
        self.problem: str | None = "the canary inference has not run yet"
        self.started = False
        self._make = make
        self._exchange = asyncio.Lock()

    @classmethod
    def of(cls, path: Path, settings: Settings, on_batch: Callable[[int], None] = lambda images: None) -> Models:
        """Load the bundle in ``path``; raises RgpError if it cannot be served."""

        def make(before: Network) -> Network:
            bundle = Bundle.open(path)
            if len(bundle.labels) != len(before.bundle.labels):
                raise BundleError(
                    f"{path}: it has {len(bundle.labels)} labels, what is served {len(before.bundle.labels)}: "
                    "callers would be surprised: restart the service with it"
                )
            # measured under load a plan would be wrong: the one in use is kept
            return Network.load(bundle, settings, on_batch, before.plan)

        return cls(Network.load(Bundle.open(path), settings, on_batch), make)

    async def check(self) -> None:
        """Run the canary of the active network; what it finds decides whether the service is ready."""
        network = self.active
        try:
            await network.recheck()
            problem = None
        except RgpError as error:
            problem = str(error)
        except Exception as error:  # whatever an engine raises: not ready, and the next canary is run all the same
            logger.exception("the canary failed")
            problem = f"the canary failed: {type(error).__name__}: see the service's log"
        if network is not self.active:
            return
        if problem != self.problem and (problem or self.started):
            logger.log(
                logging.ERROR if problem else logging.INFO, f"not ready: {problem}" if problem else "ready again"
            )
        self.problem = problem
        self.started |= problem is None

    async def reload(self) -> Loaded:
        """Load the bundle anew, verify it, exchange it; if it is bad: RgpError, and nothing changed."""
        async with self._exchange:
            network = await asyncio.to_thread(self._make, self.active)
            try:
                await network.recheck()
            except BaseException:
                network.close()
                raise
            if self.previous is not None:
                self.previous.close()
            self.previous, self.active = self.active, network
            self.problem, self.started = None, True
            logger.info("serving %s (%s)", network.model.name, network.model.sha256)
            return self.loaded()

    async def rollback(self) -> Loaded:
        """Put the previous network back, after its canary; UsageError if there is none."""
        async with self._exchange:
            if self.previous is None:
                raise UsageError("there is no earlier model to go back to: nothing was reloaded since the start")
            await self.previous.recheck()
            self.previous, self.active = self.active, self.previous
            self.problem = None
            logger.info("back to %s (%s)", self.active.model.name, self.active.model.sha256)
            return self.loaded()

    def loaded(self) -> Loaded:
        """What is in memory."""
        rows = [self.active.about(active=True)]
        if self.previous is not None:
            rows.append(self.previous.about(active=False))
        return Loaded(models=rows)

    def close(self) -> None:
        """Let what waits end."""
        self.active.close()
        if self.previous is not None:
            self.previous.close()
