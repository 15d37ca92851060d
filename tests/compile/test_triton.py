"""The model repository for Triton: parsed by Triton's own message, field by field; its models run and answer alike."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from rgp.bundle import Bundle
from rgp.compile import cli, triton
from rgp.engines import native
from rgp.engines.target import Target
from rgp.errors import UsageError
from tests.serve.tiny import LABELS, PREPROCESS, network

Write = Callable[..., Path]


def model_config() -> Any:
    """Triton's message ModelConfig as tritonclient has it; its package would want gRPC."""
    package = importlib.util.find_spec("tritonclient")
    assert package
    assert package.origin
    spec = importlib.util.spec_from_file_location(
        "model_config_pb2", Path(package.origin).parent / "grpc" / "model_config_pb2.py"
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PROTO = model_config()


def parsed(repository: Path, name: str) -> Any:
    return text_format.Parse((repository / name / "config.pbtxt").read_text(), PROTO.ModelConfig())


def bundle_of(path: Path, model: bytes, target: Target, labels: tuple[str, ...] = LABELS) -> Bundle:
    files = {"dense.onnx": model, "compiled.onnx": model, "report.json": b"{}"}
    return Bundle.write(
        path, name="tiny", architecture="tiny", labels=labels, preprocess=PREPROCESS if labels else None,
        files=files, target=target,
    )  # fmt: skip


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Bundle]:
    def write(engine: str = "ort", device: str = "cpu", precision: str = "fp32", **of: Any) -> Bundle:
        return bundle_of(tmp_path / "bundle", network(**of), Target(engine, device, precision))

    return write


def exported(bundle: Bundle, threads: int = 3, batches: tuple[int, ...] = (1, 8)) -> Path:
    out = bundle.path.parent / "deep" / "models"
    triton.export(bundle, out, threads=threads, batches=batches)
    return out


@pytest.mark.parametrize("name", ["compiled", "dense"])
def test_every_field_says_what_the_bundle_is(tiny: Callable[..., Bundle], name: str) -> None:
    repository = exported(tiny(), threads=3, batches=(1, 4, 8))
    config = parsed(repository, name)
    assert {field.name for field, _ in config.ListFields()} == {
        "name", "backend", "max_batch_size", "version_policy", "input", "output", "instance_group", "dynamic_batching",
        "parameters",
    }  # fmt: skip
    assert (config.name, config.backend, config.max_batch_size) == (name, "onnxruntime", 8)
    assert config.version_policy.latest.num_versions == 1
    (image,), (logits,) = config.input, config.output
    assert (image.name, image.data_type, list(image.dims)) == ("image", PROTO.TYPE_UINT8, [-1, -1, 3])
    assert (logits.name, logits.data_type, list(logits.dims)) == ("logits", PROTO.TYPE_FP32, [7])
    assert (repository / name / logits.label_filename).read_text().splitlines() == list(LABELS)
    (group,) = config.instance_group
    assert (group.count, group.kind) == (1, PROTO.ModelInstanceGroup.KIND_CPU)
    batching, queue = config.dynamic_batching, config.dynamic_batching.default_queue_policy
    assert (list(batching.preferred_batch_size), batching.max_queue_delay_microseconds) == ([4, 8], 0)
    assert queue.timeout_action == PROTO.ModelQueuePolicy.REJECT
    assert (queue.max_queue_size, queue.default_timeout_microseconds) == (16, 1_000_000)
    assert queue.allow_timeout_override
    assert {key: value.string_value for key, value in config.parameters.items()} == {
        "intra_op_thread_count": "3",
        "inter_op_thread_count": "1",
    }


def test_a_gpu_waits_a_little_and_keeps_true_float32(tiny: Callable[..., Bundle]) -> None:
    config = parsed(exported(tiny(device="cuda")), "compiled")
    assert config.instance_group[0].kind == PROTO.ModelInstanceGroup.KIND_GPU
    assert config.dynamic_batching.max_queue_delay_microseconds == 2000
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert (accelerator.name, dict(accelerator.parameters)) == ("cuda", {"use_tf32": "0"})
    assert not config.parameters


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_tensorrt_runs_as_an_accelerator_in_the_bundles_precision(tiny: Callable[..., Bundle], precision: str) -> None:
    config = parsed(exported(tiny("trt", "cuda", precision)), "compiled")
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert (config.backend, accelerator.name) == ("onnxruntime", "tensorrt")
    assert dict(accelerator.parameters) == {"precision_mode": precision.upper()}


def test_what_triton_has_no_backend_for_is_refused(tiny: Callable[..., Bundle]) -> None:
    bundle = tiny("trt-rtx", "cuda")
    with pytest.raises(UsageError, match=r"no backend for trt-rtx on cuda, fp32: compile with --engine ort or trt$"):
        exported(bundle)
    assert [each.name for each in bundle.path.parent.iterdir()] == ["bundle"]


def test_batches_of_one_prefer_no_size(tiny: Callable[..., Bundle]) -> None:
    config = parsed(exported(tiny(), batches=(1,)), "dense")
    assert (config.max_batch_size, list(config.dynamic_batching.preferred_batch_size)) == (1, [])
    assert config.dynamic_batching.default_queue_policy.max_queue_size == 2


def test_a_model_with_a_fixed_batch_is_not_batched_but_its_queue_is_bounded(tmp_path: Path) -> None:
    fixed = onnx.load_model_from_string(network(input_type=TensorProto.FLOAT))
    for value in (fixed.graph.input[0], fixed.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    bundle = bundle_of(tmp_path / "bundle", fixed.SerializeToString(), Target(), labels=())
    repository = exported(bundle)
    config = parsed(repository, "compiled")
    assert config.max_batch_size == 0
    assert (config.input[0].data_type, list(config.input[0].dims)) == (PROTO.TYPE_FP32, [4, -1, -1, 3])
    assert (list(config.output[0].dims), config.output[0].label_filename) == ([4, 7], "")
    assert list(config.dynamic_batching.preferred_batch_size) == []
    assert config.dynamic_batching.default_queue_policy.max_queue_size == 2
    assert not (repository / "compiled" / "labels.txt").exists()


def test_a_tensor_of_another_type_is_refused(tmp_path: Path) -> None:
    model = onnx.load_model_from_string(network())
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.COMPLEX64
    bundle = bundle_of(tmp_path / "bundle", model.SerializeToString(), Target())
    with pytest.raises(UsageError, match=r"^--export triton: 'logits' is COMPLEX64: give a network of TYPE_BOOL, "):
        exported(bundle)
    assert list((tmp_path / "deep").iterdir()) == []


def test_each_type_has_tritons_name() -> None:
    for name in triton.TYPES.values():
        assert PROTO.DataType.Value(name) > 0


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_what_exists_is_left_alone(tiny: Callable[..., Bundle], make: Callable[[Path], None]) -> None:
    bundle = tiny()
    out = bundle.path.parent / "taken"
    make(out)
    with pytest.raises(UsageError, match="taken: exists already: give --export triton a new folder"):
        triton.export(bundle, out, threads=1, batches=(1,))
    assert sorted(each.name for each in bundle.path.parent.iterdir()) == ["bundle", "taken"]


def test_a_failure_leaves_nothing(tiny: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tiny()
    write = Path.write_text

    def full_disk(path: Path, text: str) -> int:
        if path.parts[-2:] == ("dense", "config.pbtxt"):
            raise OSError("No space left on device")
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(OSError, match="No space"):
        exported(bundle)
    assert list((bundle.path.parent / "deep").iterdir()) == []


names = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1)


@given(name=names, number=st.integers(-(2**31), 2**31 - 1))
def test_any_text_comes_back_from_the_text_format(name: str, number: int) -> None:
    fields = {"name": name, "max_batch_size": number, "input": [{"name": name, "dims": [number, -1]}, {"name": "b"}]}
    config = text_format.Parse(triton._text(fields), PROTO.ModelConfig())
    assert (config.name, config.max_batch_size) == (name, number)
    assert [(each.name, list(each.dims)) for each in config.input] == [(name, [number, -1]), ("b", [])]


def answers(repository: Path, name: str, images: Any, *, kernels: bool) -> Any:
    """What ONNX Runtime makes of a model of the repository, set up as its configuration says."""
    config = parsed(repository, name)
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(config.parameters["intra_op_thread_count"].string_value)
    options.inter_op_num_threads = int(config.parameters["inter_op_thread_count"].string_value)
    for library in config.model_operations.op_library_filename if kernels else ():
        options.register_custom_ops_library(str(repository / Path(library).relative_to(triton.MOUNT)))
    session = ort.InferenceSession(repository / name / "1" / "model.onnx", options)
    assert [each.name for each in session.get_inputs()] == [each.name for each in config.input]
    return session.run([each.name for each in config.output], {config.input[0].name: images})[0]


@pytest.fixture
def compiled(write_checkpoint: Write, capsys: pytest.CaptureFixture[str]) -> tuple[Bundle, Path]:
    """A bundle whose network uses the kernels, and the repository of the same command."""
    checkpoint = write_checkpoint("random:16_4", width=64)
    repository = checkpoint.parent / "models"
    arguments = [str(checkpoint), "--threads", "1", "--batch", "1,3", "--pairs", "20", "--tune", "off"]
    assert cli.main([*arguments, "--export", "triton", str(repository)]) == 0
    assert f"Triton's models compiled and dense: {repository}" in capsys.readouterr().out
    return Bundle.open(checkpoint.with_name("net-bundle")), repository


@pytest.mark.skipif(native.missing() is not None, reason=f"no native kernels: {native.missing()}")
def test_the_models_answer_as_the_bundle_does_with_the_kernels_and_without(
    compiled: tuple[Bundle, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, repository = compiled
    config = parsed(repository, "compiled")
    assert native.used_by(bundle.files["compiled.onnx"])
    assert list(config.model_operations.op_library_filename) == ["/models/compiled/librgp_kernels.so"]
    assert (repository / "compiled" / "librgp_kernels.so").read_bytes() == native.LIBRARY.read_bytes()
    assert not parsed(repository, "dense").model_operations.op_library_filename
    assert config.max_batch_size == 3
    images = np.random.default_rng(0).integers(256, size=(3, *config.input[0].dims), dtype=np.uint8)
    for name in ("compiled", "dense"):
        expected = bundle.target.start(bundle.files[f"{name}.onnx"], threads=1).run(images)
        assert np.array_equal(answers(repository, name, images, kernels=True), expected)
    stock = answers(repository, "compiled", images, kernels=False)
    np.testing.assert_allclose(stock, answers(repository, "compiled", images, kernels=True), atol=1e-4)

    again = repository.with_name("again")  # from the bundle, nothing is compiled
    arguments = [str(bundle.path), "--threads", "1", "--batch", "1,3", "--export", "triton"]
    assert cli.main([*arguments, str(again)]) == 0
    for file in (path.relative_to(repository) for path in repository.rglob("*") if path.is_file()):
        assert (again / file).read_bytes() == (repository / file).read_bytes()
    assert cli.main([*arguments, str(again)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_the_command_refuses_before_it_compiles(
    write_checkpoint: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = str(write_checkpoint())
    for arguments, message in (
        (["--export", "tritn", str(tmp_path / "new")], "unknown form for --export 'tritn': did you mean 'triton'?"),
        (["--export", "triton", str(tmp_path)], "exists already"),
        (["--engine", "trt-rtx", "--export", "triton", str(tmp_path / "new")], "no backend for trt-rtx"),
    ):
        assert cli.main([checkpoint, *arguments]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    assert [each.name for each in tmp_path.iterdir()] == ["net.pth"]


@pytest.mark.skipif(native.missing() is not None, reason=f"no native kernels: {native.missing()}")
def test_the_notes_name_what_the_library_needs(compiled: tuple[Bundle, Path]) -> None:
    text = (compiled[1] / "compiled" / "config.pbtxt").read_text()
    notes = [line for line in text.splitlines() if line.startswith("#")]
    assert "glibc 2." in "".join(notes)
    assert compiled[0].sha256 in "".join(notes)
