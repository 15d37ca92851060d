"""ONNX bytes to engine bytes, for both libraries.

The network is strongly typed: every tensor has the type that the ONNX gives it, so the precision is decided before
(casts, QDQ) and is the same on TensorRT 10, where types could also be chosen here, and 11, where they cannot.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rgp.engines.tensorrt import cuda
from rgp.engines.tensorrt.library import Library
from rgp.engines.tensorrt.settings import Settings
from rgp.errors import EngineError, UsageError, unknown

Progress = Callable[[str], None]

ONE_AT_A_TIME = threading.Lock()
"""Two builds at once would mix their errors, and time each other's kernels."""
COMPUTES_IN = {"fp32": "FLOAT", "fp16": "HALF", "bf16": "BF16"}
"""The library's name of the type that convolutions and products give in each precision."""


@dataclass(frozen=True)
class Summary:
    """The network as the library read it: its layers, and among them the convolutions."""

    layers: int
    convolutions: int
    grouped: int
    """Convolutions with more than one group."""
    types: tuple[str, ...]
    """Types that convolutions and matrix products compute in, as the library names them: ``HALF``."""
    quantised: bool
    """Whether it has quantised tensors (QDQ)."""


@dataclass(frozen=True)
class Built:
    """``timing_cache`` makes the next build on this GPU faster; None where the library has none."""

    engine: bytes
    timing_cache: bytes | None
    summary: Summary


def build(
    onnx: bytes,
    library: Library,
    settings: Settings,
    *,
    timing_cache: bytes | None = None,
    progress: Progress = lambda line: None,
) -> Built:
    """Build an engine; EngineError with the library's reason and the node that it names.

    "trt" needs the GPU that the engine will run on; "trt-rtx" builds ahead of time, without one. What ``progress``
    raises (KeyboardInterrupt, say) stops the build and is raised here.
    """
    with ONE_AT_A_TIME:
        builder = start(library)
        network, parser = _parsed(onnx, builder, library)
        summary = _summary(network, library.module)
        _check_precision(summary, settings.precision)
        config = builder.create_builder_config()
        for least, most in settings.profiles:
            config.add_optimization_profile(_profile(builder, network, least, most))
        configure(config, library, settings)
        if library.tunes:
            cache = config.create_timing_cache(timing_cache or b"")
            if not config.set_timing_cache(cache, ignore_mismatch=False):  # of another version or GPU
                config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
        built = Built(
            engine=serialized(builder, network, config, library, progress),
            timing_cache=bytes(config.get_timing_cache().serialize()) if library.tunes else None,
            summary=summary,
        )
        del parser  # it owns the weights: until here
        return built


def start(library: Library) -> Any:
    """A builder; EngineError that says what it needs."""
    if library.tunes:
        try:
            cuda.gpu()
        except EngineError as error:  # the builder itself would only say "factory function returned nullptr"
            raise EngineError(
                f"--engine {library.kind} builds on the GPU that will run it (--engine trt-rtx needs none): {error}"
            ) from error
    library.log.take()
    try:
        return library.module.Builder(library.logger)
    except Exception as error:  # pybind11's TypeError, if anything
        raise EngineError(f"{library} cannot start: {library.log.take() or error}") from error


def configure(config: Any, library: Library, settings: Settings) -> None:
    """What ``settings`` says but for the batches, which need the network."""
    module = library.module
    if settings.precision == "fp32":  # fp32 means fp32: TF32 rounds the factors of a product to 10 bits
        config.clear_flag(module.BuilderFlag.TF32)
    if settings.workspace is not None:
        config.set_memory_pool_limit(module.MemoryPoolType.WORKSPACE, settings.workspace)
    if not settings.targets:
        return
    if not hasattr(module, "ComputeCapability"):
        raise UsageError(f"{library} builds for the GPU that it runs on: leave the targets out, or use trt-rtx")
    members = {name: value for name, value in module.ComputeCapability.__members__.items() if name[-1].isdigit()}
    known = {f"{name[2:-1]}.{name[-1]}": value for name, value in members.items()}  # SM120 is 12.0
    config.num_compute_capabilities = len(settings.targets)
    for index, target in enumerate(settings.targets):
        if target not in known:
            raise UsageError(unknown(f"target of {library}", target, known))
        if not config.set_compute_capability(known[target], index):
            raise EngineError(f"{library} refuses the target {target}: {library.log.take()}")


def serialized(
    builder: Any, network: Any, config: Any, library: Library, progress: Progress = lambda line: None
) -> bytes:
    """Run the build; the only place where it takes its time."""
    monitor = _monitor(library.module, progress)
    config.progress_monitor = monitor
    engine = builder.build_serialized_network(network, config)
    if monitor.raised is not None:
        raise monitor.raised
    if engine is None:
        raise EngineError(f"{library} cannot build the network: {library.log.take() or 'it gives no reason'}")
    library.log.take()  # errors that it got over
    return bytes(engine)


def _parsed(onnx: bytes, builder: Any, library: Library) -> tuple[Any, Any]:
    """The network, and the parser, which owns its weights."""
    module = library.module
    # always so in TensorRT 11, which still knows the flag
    network = builder.create_network(1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = module.OnnxParser(network, library.logger)
    if not parser.parse(onnx):
        library.log.take()  # the parser's own errors say the same, and name the node
        raise EngineError(f"{library} cannot read the network: {_parser_error(parser)}")
    if network.num_inputs != 1 or not network.num_outputs:
        raise EngineError(
            f"the network must take one input and give an output, not {network.num_inputs} and {network.num_outputs}"
        )
    return network, parser


def _parser_error(parser: Any) -> str:
    if not parser.num_errors:
        return "the parser gives no reason"
    error = parser.get_error(0)
    what, _, where = str(error.desc()).partition("\n")
    what = where or what if what.startswith("Invalid Node") else what
    if what in ("", "false"):  # the condition of an assertion
        what = error.code().name.lower().replace("_", " ")
    node = f"node '{error.node_name()}' ({error.node_operator()}): " if error.node_operator() else ""
    return node + " ".join(what.split())


def _summary(network: Any, module: Any) -> Summary:
    kinds, types, grouped = Counter[str](), set[str](), 0
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        kind = layer.type.name
        kinds[kind] += 1
        if kind in ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY"):
            types.add(layer.get_output(0).dtype.name)
        if kind == "CONVOLUTION":
            layer.__class__ = module.IConvolutionLayer  # the bindings' own way down from ILayer
            grouped += layer.num_groups > 1
    return Summary(
        network.num_layers, kinds["CONVOLUTION"], grouped, tuple(sorted(types)), quantised=kinds["DEQUANTIZE"] > 0
    )


def _check_precision(summary: Summary, precision: str) -> None:
    """The ONNX decides the types; EngineError if that is not the precision that was asked for."""
    wanted = COMPUTES_IN.get(precision)
    if precision == "int8":
        fits = summary.quantised
    elif precision == "fp32":
        fits = not summary.quantised and set(summary.types) <= {wanted}
    else:
        fits = not summary.types or wanted in summary.types
    if not fits:
        names = {name: ours for ours, name in COMPUTES_IN.items()}
        found = " and ".join([names.get(each, each.lower()) for each in summary.types] + ["int8"] * summary.quantised)
        raise EngineError(
            f"the network computes in {found}, not in {precision}: the ONNX decides, compile with that --precision"
        )


def _profile(builder: Any, network: Any, least: int, most: int) -> Any:
    """Tuned for the largest batch that it takes."""
    image = network.get_input(0)
    batch, *rest = tuple(image.shape)
    if batch != -1 or -1 in rest:
        raise EngineError(
            f"input '{image.name}' has the shape {(batch, *rest)}: only its batch may be, and must be, dynamic (-1)"
        )
    profile = builder.create_optimization_profile()
    profile.set_shape(image.name, (least, *rest), (most, *rest), (most, *rest))
    return profile


def _monitor(module: Any, progress: Progress) -> Any:
    class Monitor(module.IProgressMonitor):  # type: ignore[misc]
        """Called from any thread. The library swallows what its callbacks raise, so it is kept for later."""

        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)
            self.raised: BaseException | None = None
            self.steps: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self.steps[phase] = steps
            self._tell(phase)

        def step_complete(self, phase: str, step: int) -> bool:
            self._tell(f"{phase}, {step + 1} of {self.steps.get(phase, step + 1)}")
            return self.raised is None  # False stops the build

        def phase_finish(self, phase: str) -> None:
            self.steps.pop(phase, None)

        def _tell(self, line: str) -> None:
            if self.raised is None:
                try:
                    progress(line)
                except BaseException as error:
                    self.raised = error

    return Monitor()
