"""The configuration of `rgp-train`: each setting is declared once, with its type, default, text and range."""

from __future__ import annotations

import re
import sys
from argparse import ArgumentError
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml
from jsonargparse import ArgumentParser

from rgp.errors import UsageError, unknown
from rgp.train.published_options import modern_arguments, modern_settings


def setting(default: Any, text: str, within: str = "") -> Any:
    """Declare a field; ``within`` is the interval its number must lie in, as in "[0, 1)"."""
    return field(default=default, metadata={"help": text + (f"; in {within}" if within else ""), "within": within})


@dataclass(frozen=True)
class TrainConfig:
    """All that decides a training run. A value out of its range raises UsageError."""

    data: str = setting("digits", "data set, NAME or NAME:PATH, as in imagenet:data/imagenet; docs/data.md lists them")
    download: bool = setting(False, "download the data set to its PATH if it is not there")
    image_size: int = setting(224, "side in pixels of the network's input, for data without its own", "[8, 3584]")

    architecture: str = setting("small_resnet", "the network: a name of rgp-train networks, or timm:NAME")
    width: int | None = setting(None, "channels of the first stage (small_resnet)", "[1, inf)")
    blocks: int | None = setting(None, "residual blocks in a stage (small_resnet)", "[1, inf)")
    match_macs: str | None = setting(
        None,
        "widen until the MACs under the graph are those of the dense network (dense), or this many millions",
    )
    pretrained: str | None = setting(None, "checkpoint of the same network whose weights to start from")

    graph: str = setting("dense", "the mask: dense (none), family:N_d as in random:16_4?seed=1, or a .npy file")
    first_dense: bool = setting(True, "leave the first convolution unmasked")
    last_dense: bool = setting(True, "leave the last convolution unmasked where it is the classifier")
    skip: tuple[str, ...] = setting((), "shell patterns of layers to leave unmasked, as in [blocks.0.*]")
    narrow: Literal["refuse", "dense", "fewer"] = setting(
        "refuse", "a layer with fewer channels than nodes: refuse it, leave it dense, or take fewer nodes"
    )
    turns: Literal["layers", "blocks"] = setting(
        "layers", "which layer takes which of several graphs (rotate=1): each the next, or the first around blocks"
    )

    form: Literal["masked", "decomposed"] = setting(
        "masked",
        "decomposed: train affine graphs as grouped convolutions; checkpoints are masked all the same",
    )

    epochs: int = setting(20, "passes over the training images", "[1, inf)")
    batch_size: int = setting(64, "images in one step", "[1, inf)")
    lr: float = setting(0.1, "learning rate at its peak", "(0, inf)")
    momentum: float = setting(0.9, "momentum of SGD", "[0, 1)")
    weight_decay: float = setting(5e-4, "L2 penalty", "[0, inf)")
    norm_decay: bool = setting(True, "the penalty holds for biases and normalisation too, as the paper has it")
    warmup_epochs: int = setting(0, "epochs over which the learning rate rises; then half a cosine", "[0, inf)")
    milestones: tuple[int, ...] = setting((), "epochs after which lr is divided by 10, as in [30, 60, 90]; no cosine")
    rate_per: Literal["step", "epoch"] = setting("step", "how often the learning rate moves; the paper: each epoch")
    init: Literal["paper", "density"] = setting(
        "paper", "first weights: for the dense fan-in, or larger where a graph leaves fewer inputs (graph2nn)"
    )
    ema: float = setting(0.0, "decay of a moving average of the weights, which is then what is kept; 0: none", "[0, 1)")
    label_smoothing: float = setting(0.0, "share of the target spread over all classes", "[0, 1)")
    mixup: float = setting(0.0, "alpha of mixup; 0: none. With cutmix too, each batch takes one of them", "[0, inf)")
    cutmix: float = setting(0.0, "alpha of CutMix; 0: none", "[0, inf)")
    randaugment: int = setting(0, "magnitude of RandAugment, two operations an image; 0: none", "[0, 30]")
    teacher: str | None = setting(None, "checkpoint of a network for the same data to learn from, as a dense one")
    teacher_share: float = setting(0.9, "share of the loss that is the distance to the teacher", "(0, 1]")
    temperature: float = setting(4.0, "softens the teacher's and the network's answers for that distance", "(0, inf)")
    seed: int = setting(
        0, "decides the first weights, the order of the images and their augmentation", "[0, 4294967296)"
    )

    device: Literal["auto", "cpu", "cuda"] = setting("auto", "auto takes the GPU if there is one")
    amp: Literal["auto", "off", "bf16", "fp16"] = setting(
        "auto", "autocast; auto: bf16 on a GPU only; fp16 scales the loss, and needs a GPU"
    )
    accumulate: int = setting(1, "forward and backward passes in a step, each on a share of the batch", "[1, inf)")
    channels_last: bool = setting(False, "keep images and weights with channels last, which GPUs like")
    compile: bool = setting(False, "compile the network with torch.compile")
    sync_norm: bool = setting(True, "with several processes, BatchNorm sees the whole batch rather than its own share")
    workers: int = setting(0, "processes that decode and augment; 0 does it in this one", "[0, 256)")

    runs: str = setting("runs", "folder of all runs and of results.csv")
    experiment: str = setting("default", "folder in it; the configuration file's name unless given")
    name: str = setting("run", "folder in that; a number is added when it exists")
    save_every: int = setting(0, "epochs between checkpoints that are kept, as epoch-010.pth; 0: none", "[0, inf)")
    save_steps: int = setting(0, "steps between writes of last.pth; 0: after each epoch only", "[0, inf)")
    resume: str | None = setting(None, "continue the run of this last.pth, or of the newest one (auto)")
    bench_data: bool = setting(False, "only measure how fast training images arrive")
    evaluate: str | None = setting(None, "only evaluate this checkpoint, or that of pretrained, on the held-out images")

    def __post_init__(self) -> None:
        for entry in fields(self):
            value, within = getattr(self, entry.name), entry.metadata["within"]
            if within and value is not None and not _lies_in(value, within):
                raise UsageError(f"{entry.name} is {value}: give a number in {within}")
        if self.warmup_epochs >= self.epochs:
            raise UsageError(f"warmup_epochs is {self.warmup_epochs}: give fewer than the {self.epochs} epochs")
        if list(self.milestones) != sorted({each for each in self.milestones if 1 <= each < self.epochs}):
            raise UsageError(
                f"milestones is {list(self.milestones)}: give rising epochs from 1 to {self.epochs - 1}, as in [30, 60]"
            )
        for key in ("experiment", "name"):
            folder = getattr(self, key)
            if folder in ("", "..") or Path(folder).name != folder:
                raise UsageError(f"{key} is '{folder}': give a plain folder name")


def _lies_in(value: float, interval: str) -> bool:
    low, high = map(float, interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    return above and below


def load(argv: Sequence[str] | None = None) -> TrainConfig:
    """Read the command line, over the file of ``--config``, over the defaults; UsageError says what is wrong."""
    parser = ArgumentParser(prog="rgp-train", description=_DESCRIPTION, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--config", type=str | None, help="YAML file of the settings below")
    for entry in fields(TrainConfig):
        default, text = entry.default, entry.metadata["help"].replace("%", "%%")
        const = "" if entry.name == "evaluate" else True if entry.type == "bool" else None
        bare: dict[str, Any] = {} if const is None else {"nargs": "?", "const": const}
        parser.add_argument(f"--{entry.name}", type=_TYPES[entry.name], default=default, help=text, **bare)

    argv = modern_arguments(sys.argv[1:] if argv is None else argv, {"config": None} | _TYPES)
    with _as_usage_errors("command line"):
        path = parser.parse_args(argv).config
    base = None
    if path is not None:
        with _as_usage_errors(path):
            base = parser.parse_object(_read(Path(path)))
    with _as_usage_errors("command line"):
        values = parser.parse_args(argv, namespace=base)
    if values["evaluate"] == "":
        if values["pretrained"] is None:
            raise UsageError("evaluate names no checkpoint and pretrained is not set: give one of them a path")
        values["evaluate"] = values["pretrained"]
    return TrainConfig(**{entry.name: values[entry.name] for entry in fields(TrainConfig)})


_DESCRIPTION = """Train a network, dense or masked by a regular graph. Settings come from the command line, then
the file of --config, then the defaults; options of the published code are understood. Results go to
runs/EXPERIMENT/NAME/, and a row to runs/results.csv. Several processes: torchrun --nproc-per-node 8 -m rgp.train ...
Other commands: rgp-train compare RUN ..., rgp-train networks, rgp-train shards,
rgp-train glyphs (each with --help). docs/training.md
explains the settings and says where they come from."""

_TYPES: dict[str, Any] = get_type_hints(TrainConfig)
_EXPECTED: Mapping[Any, str] = {
    int: "a whole number",
    int | None: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    str | None: "text",
    tuple[str, ...]: "a list, as in [a, b]",
    tuple[int, ...]: "a list of whole numbers, as in [30, 60]",
}


def _read(path: Path) -> dict[str, Any]:
    """The file's values as text, to be typed by the settings: YAML would read the graph 64_16 as 6416."""
    try:
        values = yaml.load(path.read_text(), Loader=yaml.BaseLoader)  # noqa: S506  # it makes only text
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not a YAML file: {' '.join(str(error).split())}") from error
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}: give --config a YAML file") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path}: holds no settings: write lines as in 'epochs: 20'")
    values = modern_settings(values)
    for key in values:
        if key not in _TYPES:
            raise UsageError(f"{path}: {unknown('setting', str(key), _TYPES)}")
    return {"experiment": path.stem} | values


@contextmanager
def _as_usage_errors(source: str) -> Iterator[None]:
    """Say the parser's errors in one line that names the key, the value and what is expected."""
    try:
        yield
    except ArgumentError as error:
        message = str(error)
        if stray := re.match(r"unrecognized arguments: --([^\s=]+)", message):
            message = unknown("option", f"--{stray[1]}", [f"--{name}" for name in ("config", *_TYPES)])
        elif wrong := re.match(r'Parser key "(\w+)".*(?:Got|Given) value: (.*)', message, re.DOTALL):
            kind = _TYPES[wrong[1]]
            expected = f"one of {', '.join(get_args(kind))}" if get_origin(kind) is Literal else _EXPECTED[kind]
            message = f"{wrong[1]} is '{wrong[2]}': give {expected}"
        raise UsageError(f"{source}: {' '.join(message.split())}") from error
