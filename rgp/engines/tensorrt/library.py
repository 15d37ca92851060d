"""Finds TensorRT or TensorRT-RTX and says what is missing. The two modules have no type stubs: ``Any`` ends here."""

from __future__ import annotations

import functools
import importlib
import re
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

from rgp.engines.tensorrt import cuda
from rgp.errors import EngineError, UsageError, unknown

OLDEST = 10
"""The first TensorRT whose networks can be strongly typed in the way that we build them."""


@dataclass(frozen=True)
class Kind:
    """One of the two libraries: its module and what it takes to have it."""

    module: str
    needs: str
    tunes: bool
    """It times kernels on a GPU while it builds (and can keep the times in a cache); the other needs no GPU."""


KINDS = {
    "trt": Kind("tensorrt", "the module tensorrt and an NVIDIA GPU: pip install 'rgp[gpu]'", tunes=True),
    "trt-rtx": Kind("tensorrt_rtx", "the module tensorrt_rtx: pip install 'rgp[trt-rtx]'", tunes=False),
}


class Log:
    """Errors that the library logged and nobody has read yet; it raises none itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._errors: deque[str] = deque(maxlen=50)

    def add(self, message: str) -> None:
        """Called by the library, from any thread."""
        with self._lock:
            self._errors.append(message)

    def take(self) -> str:
        """The first error that says something, without its place in the library's source; the rest is forgotten."""
        with self._lock:
            errors = list(self._errors)
            self._errors.clear()
        # without a driver, "cudaError 35" from its own clean-up follows each error of another kind
        telling = [error for error in errors if not error.startswith("[checkMacros")] or errors
        return _plain(telling[0]) if telling else ""


@dataclass(frozen=True)
class Library:
    """A loaded library. ``logger`` is the only one of this process: the library keeps the first that it is given."""

    kind: str
    module: Any
    logger: Any
    log: Log

    @property
    def version(self) -> str:
        """For example ``11.2.1.2``."""
        return str(self.module.__version__)

    @property
    def tunes(self) -> bool:
        """See ``Kind.tunes``."""
        return KINDS[self.kind].tunes

    def __str__(self) -> str:
        return f"{KINDS[self.kind].module} {self.version}"


@functools.cache
def load(kind: str) -> Library:
    """The library of ``kind`` ("trt" or "trt-rtx"); EngineError that says which command would bring it."""
    if kind not in KINDS:
        raise UsageError(unknown("TensorRT engine", kind, KINDS))
    wanted = KINDS[kind]
    try:
        module = importlib.import_module(wanted.module)
    except ModuleNotFoundError as error:
        missing = "" if error.name == wanted.module else f" (it is there, but without its part {error.name})"
        raise EngineError(f"--engine {kind} needs {wanted.needs}{missing}") from error
    except (ImportError, OSError) as error:  # installed, but a shared library of its own does not load
        raise EngineError(f"--engine {kind}: the module {wanted.module} does not load: {error}") from error
    if kind == "trt" and int(module.__version__.partition(".")[0]) < OLDEST:
        raise EngineError(
            f"tensorrt {module.__version__} is too old, {OLDEST} or newer is needed: pip install -U 'rgp[gpu]'"
        )
    log = Log()
    return Library(kind, module, _logger(module, log), log)


def describe(kind: str) -> dict[str, str | int]:
    """Name, version, device and threads (of the CPU) of the engines of ``kind``; EngineError if none can run here."""
    library = load(kind)
    return {"engine": kind, "version": library.version, "device": str(cuda.gpu()), "threads": 1}


def _logger(module: Any, log: Log) -> Any:
    class Logger(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)  # super() does not reach the C++ part

        def log(self, severity: Any, message: str) -> None:
            if severity <= module.ILogger.ERROR:
                log.add(message)

    return Logger()


def _plain(message: str) -> str:
    """Only what happened: not the method, not the pass, not the place in a source that nobody has.

    >>> _plain("IBuilder::build: Error Code 1: Myelin ([pass.cpp:337: check] FP32 GEMM is not supported. In f at /x:1)")
    'FP32 GEMM is not supported'
    """
    message = " ".join(message.split())
    coded = re.search(r"Error Code \d+: [^(]*\((.*)\)$", message)
    message = coded.group(1) if coded else message
    message = re.sub(r"^\[[^]]*\]\s*|^\(In \S+ at [^)]*?\(", "", message)
    return re.sub(r"\.? ?In \w+ at \S+\)?$", "", message).strip(" .")
