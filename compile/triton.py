"""A bundle as a model repository of NVIDIA's Triton: the models ``compiled`` and ``dense``, run by ONNX Runtime.

::

    compiled/config.pbtxt          what Triton reads first: tensors, batching, the bounded queue, threads
    compiled/labels.txt            the classes, a line each
    compiled/librgp_kernels.so     the native kernels, where the network uses them
    compiled/1/model.onnx
    dense/...                      the same without the kernels

Fields: triton-inference-server/common ``model_config.proto``; parameters: triton-inference-server/onnxruntime_backend.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from rgp.bundle import Bundle
from rgp.engines import native
from rgp.engines.ort import TRUE_FLOAT32
from rgp.engines.target import Target
from rgp.errors import UsageError

MOUNT = "/models"
"""Where Triton finds the repository: a library is loaded by its whole path, not from beside its model."""
QUEUED_BATCHES = 2
"""Batches that may wait for the one that runs: an admitted request takes about three times what it takes alone."""
QUEUE_SECONDS = 1
GPU_GATHER_US = 2000
"""A GPU gains from batches what this costs; a CPU hardly does, and batches only what has piled up."""

TYPES: dict[int, str] = {
    TensorProto.BOOL: "TYPE_BOOL",
    TensorProto.UINT8: "TYPE_UINT8",
    TensorProto.INT8: "TYPE_INT8",
    TensorProto.INT32: "TYPE_INT32",
    TensorProto.INT64: "TYPE_INT64",
    TensorProto.FLOAT16: "TYPE_FP16",
    TensorProto.BFLOAT16: "TYPE_BF16",
    TensorProto.FLOAT: "TYPE_FP32",
    TensorProto.DOUBLE: "TYPE_FP64",
}


class _Symbol(str):
    """The name of an enumeration's value: written without quotes."""


def refuse(out: Path, target: Target) -> None:
    """Raise UsageError if there is something at ``out`` already, or if Triton has no backend for ``target``."""
    if out.exists() or out.is_symlink():
        raise UsageError(f"{out}: exists already: give --export triton a new folder, or remove it")
    if target.engine not in ("ort", "trt"):
        raise UsageError(f"--export triton: Triton has no backend for {target}: compile with --engine ort or trt")


def export(bundle: Bundle, out: Path, *, threads: int, batches: Sequence[int]) -> None:
    """Write the repository beside ``out``, then rename: it appears whole or not at all.

    ``threads``: of one inference on a CPU. ``batches``: sizes to put together, the largest is the bound. Raises
    UsageError as ``refuse`` does, and for a tensor of a type that is not in TYPES.
    """
    refuse(out, bundle.target)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        for name in ("compiled", "dense"):
            _write_model(bundle, name, temporary / name, threads, batches)
        temporary.chmod(0o755)
        temporary.rename(out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _write_model(bundle: Bundle, name: str, folder: Path, threads: int, batches: Sequence[int]) -> None:
    model = bundle.files[f"{name}.onnx"]
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.onnx").write_bytes(model)
    if bundle.labels:
        (folder / "labels.txt").write_text("".join(f"{' '.join(label.split())}\n" for label in bundle.labels))
    notes = [
        f"{' '.join(bundle.name.split())}, {name}, for {bundle.target}, written by rgp-compile --export triton.",
        f"The compiled network's sha256: {bundle.sha256}",
    ]
    if bundle.target.engine == "trt":
        notes.append(
            "Triton's own TensorRT builds an engine of it when it loads, which rgp neither proved nor measured."
        )
    library = None
    if bundle.target.device == "cpu" and native.used_by(model):
        if native.LIBRARY.is_file():
            library = f"{MOUNT}/{name}/{native.LIBRARY.name}"
            shutil.copyfile(native.LIBRARY, folder / native.LIBRARY.name)
            notes += _needs(native.LIBRARY.read_bytes())
        else:
            notes.append(f"Without its native kernels: stock operators, at dense speed ({native.missing()})")
    fields = config(bundle, name, threads, batches, library)
    (folder / "config.pbtxt").write_text("".join(f"# {note}\n" for note in notes) + _text(fields))


def config(bundle: Bundle, name: str, threads: int, batches: Sequence[int], library: str | None) -> dict[str, Any]:
    """The fields of a model's configuration (ModelConfig): message -> dict, repeated -> list."""
    graph = onnx.load_model_from_string(bundle.files[f"{name}.onnx"]).graph
    inputs, outputs = ([_tensor(value) for value in values] for values in (graph.input, graph.output))
    largest = max(batches)
    if batched := all(tensor["dims"][:1] == [-1] for tensor in [*inputs, *outputs]):
        for tensor in [*inputs, *outputs]:
            tensor["dims"] = tensor["dims"][1:]  # Triton's batch stands for the first
    if bundle.labels:
        outputs[0]["label_filename"] = "labels.txt"
    gpu = bundle.target.device == "cuda"
    fields: dict[str, Any] = {
        "name": name,
        "backend": "onnxruntime",
        "max_batch_size": largest if batched else 0,
        "version_policy": {"latest": {"num_versions": 1}},
        "input": inputs,
        "output": outputs,
        "instance_group": [{"count": 1, "kind": _Symbol("KIND_GPU" if gpu else "KIND_CPU")}],
        "dynamic_batching": {
            "preferred_batch_size": [batch for batch in sorted(set(batches)) if batch > 1 and batched],
            "max_queue_delay_microseconds": GPU_GATHER_US if gpu else 0,
            "default_queue_policy": {
                "timeout_action": _Symbol("REJECT"),
                "default_timeout_microseconds": QUEUE_SECONDS * 1_000_000,
                "allow_timeout_override": True,
                "max_queue_size": QUEUED_BATCHES * (largest if batched else 1),
            },
        },
    }
    if gpu:
        fields["optimization"] = {
            "execution_accelerators": {"gpu_execution_accelerator": [_accelerator(bundle.target)]}
        }
    else:
        counts = {"intra_op_thread_count": threads, "inter_op_thread_count": 1}
        fields["parameters"] = [{"key": key, "value": {"string_value": str(count)}} for key, count in counts.items()]
    if library is not None:
        fields["model_operations"] = {"op_library_filename": [library]}
    return fields


def _accelerator(target: Target) -> dict[str, Any]:
    if target.engine == "trt":
        return {"name": "tensorrt", "parameters": [{"key": "precision_mode", "value": target.precision.upper()}]}
    settings = TRUE_FLOAT32[target.device]
    return {"name": "cuda", "parameters": [{"key": key, "value": value} for key, value in settings.items()]}


def _tensor(value: onnx.ValueInfoProto) -> dict[str, Any]:
    tensor = value.type.tensor_type
    if tensor.elem_type not in TYPES:
        kind = TensorProto.DataType.Name(tensor.elem_type)
        raise UsageError(f"--export triton: '{value.name}' is {kind}: give a network of {', '.join(TYPES.values())}")
    dims = [side.dim_value if side.HasField("dim_value") else -1 for side in tensor.shape.dim]
    return {"name": value.name, "data_type": _Symbol(TYPES[tensor.elem_type]), "dims": dims}


def _needs(library: bytes) -> list[str]:
    """What the kernel library asks of the machine that Triton runs on; the dynamic linker reads the same names."""
    glibc = max(tuple(map(int, found.split(b"."))) for found in re.findall(rb"GLIBC_(\d+\.\d+)", library))
    return [
        f"{native.LIBRARY.name}: {platform.machine()} Linux, glibc {'.'.join(map(str, glibc))} and ONNX Runtime 1.18",
        "or newer; it takes the best instructions that the CPU has. Triton finds it if this repository is mounted as",
        f"{MOUNT}. Without model_operations the model runs anywhere: stock operators for the kernels, at dense speed.",
    ]


def _text(fields: Mapping[str, Any], indent: str = "") -> str:
    """Protocol buffers' text format."""
    lines = []
    for name, given in fields.items():
        for value in given if isinstance(given, list) else [given]:
            if isinstance(value, dict):
                lines.append(f"{indent}{name} {{\n{_text(value, indent + '  ')}{indent}}}\n")
            else:
                lines.append(f"{indent}{name}: {_scalar(value)}\n")
    return "".join(lines)


def _scalar(value: str | int) -> str:
    if isinstance(value, _Symbol):
        return value
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return str(value).lower()  # true, false, numbers
