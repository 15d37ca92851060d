"""The options of the published code of RGP, on the command line and in its YAML files, in today's spelling."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rgp.errors import UsageError
from rgp.models.published_names import PUBLISHED

LOG = logging.getLogger("rgp")


@dataclass(frozen=True)
class Option:
    """A published option: the setting that it ``becomes``, or the values that always hold here, () for any.

    ``values``: theirs -> ours where these differ, "" for nothing to set. ``flag``: takes no value on the command
    line. ``answer``: what to write instead of any other value.
    """

    becomes: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    holds: tuple[str, ...] = ()
    flag: bool = False
    answer: str = ""

    def settings(self, name: str, value: str) -> dict[str, str]:
        """Ours for ``value``; UsageError if there is none."""
        if self.becomes:
            word = self.values.get(value, value)
            return {self.becomes: word} if word else {}
        if self.answer and value not in self.holds:
            raise UsageError(f"{name} {value} is of the published code: {self.answer}")
        return {}


_SETS = {  # {} is the folder of --data
    "CIFAR10": "cifar10:{}/cifar10",
    "CIFAR100": "cifar100:{}/cifar100",
    "SVHN": "svhn:{}/svhn",
    "TinyImageNet": "tinyimagenet:{}/tiny-imagenet-200",
    "ImageNet": "imagenet:{}/imagenet",
}
_ARCH, _SET = Option("architecture", PUBLISHED), Option("data", _SETS)
_EVERY = ("true",)
_NO_MASK_TRAINING = "masks are never trained here"
_FOLDER = "make a folder of the images that you want: --data imagefolder:PATH"

OPTIONS: dict[str, Option] = {
    **{"arch": _ARCH, "a": _ARCH, "set": _SET, "id_set": _SET, "matrix": Option("graph")},
    **{"b": Option("batch_size"), "j": Option("workers"), "wd": Option("weight_decay"), "learning_rate": Option("lr")},
    **{"warmup_length": Option("warmup_epochs"), "log_dir": Option("runs"), "e": Option("evaluate", flag=True)},
    "first_layer_dense": Option("first_dense", flag=True),
    "last_layer_dense": Option("last_dense", flag=True),
    "no_bn_decay": Option("norm_decay", {"true": "false", "false": ""}, flag=True),
    "scale_fan": Option("init", {"true": "density", "false": ""}, flag=True),
    "set_connection": Option(holds=_EVERY, flag=True, answer="a graph is always set; --graph dense trains without one"),
    "freeze_subnet": Option(holds=_EVERY, flag=True, answer=_NO_MASK_TRAINING),
    "freeze_weights": Option(holds=("false",), flag=True, answer=_NO_MASK_TRAINING),
    "random_subnet": Option(holds=("false",), flag=True, answer="give a random graph: --graph random:64_16"),
    "prune_rate": Option(holds=("0", "0.0"), answer="the graph decides what is left: 64_16 keeps 16 of 64"),
    "optimizer": Option(holds=("sgd",), answer="the optimiser is SGD"),
    "nesterov": Option(holds=("false",), flag=True, answer="SGD is without Nesterov's momentum, as in the paper"),
    "lr_policy": Option(
        holds=("cosine_lr",), answer="the rate follows a cosine, or falls at milestones: --milestones [30, 60, 90]"
    ),
    "multistep_lr_adjust": Option(answer="name the epochs after which it falls: --milestones [30, 60, 90]"),
    "multistep_lr_gamma": Option(holds=("0.1",), answer="each milestone divides the rate by 10"),
    "start_epoch": Option(holds=("0", "null"), answer="--resume auto goes on where the run stopped"),
    "init": Option("init", {"kaiming_normal": ""}),
    "mode": Option(holds=("fan_in",), answer="weights are drawn for fan_in, as in the paper"),
    "nonlinearity": Option(holds=("relu",), answer="weights are drawn for ReLU"),
    "bn_type": Option(holds=("LearnedBatchNorm", "null"), answer="BatchNorm is always with scale and shift"),
    "width_mult": Option(holds=("1", "1.0"), answer="--match_macs widens a network to a budget"),
    "low_data": Option(holds=("1", "1.0"), answer=_FOLDER),
    "one_batch": Option(holds=("false",), flag=True, answer=_FOLDER),
    "pretrain": Option(holds=("false",), flag=True, answer="train first, then give its checkpoint to --pretrained"),
    "trainer": Option(holds=("default",), answer="there is one way to train"),
    "multigpu": Option(
        holds=tuple(map(str, range(16))),
        answer="several GPUs are started by torchrun --nproc-per-node COUNT -m rgp.train ...",
    ),
    **dict.fromkeys(("conv_type", "linear_type", "first_layer_type", "score_init_constant"), Option()),
    **dict.fromkeys(("num_classes", "print_freq", "p"), Option()),
}
_FLAGS = {name for name, option in OPTIONS.items() if option.flag}


def modern_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """A file's settings in today's spelling; what changed is logged, UsageError says what to write instead.

    >>> modern_settings({"arch": "cResNet18", "epochs": "3"})
    {'architecture': 'cifar_resnet18', 'epochs': '3'}
    """
    named = {key.replace("-", "_"): _plain(key, value) for key, value in given.items()}
    folder = named.get("data", "data")
    if named.keys() & {"set", "id_set"}:
        named.pop("data", None)
    settings: dict[str, Any] = {}
    said: list[str] = []
    for name, value in named.items():
        ours: dict[str, Any] = OPTIONS[name].settings(name, value) if name in OPTIONS else {name: value}
        settings |= {key: word.replace("{}", folder) if isinstance(word, str) else word for key, word in ours.items()}
        if name not in ours:
            said.append(f"{name} is {' '.join(ours)} here" if ours else f"{name} is not needed")
    if said:
        LOG.warning("options of the published code: %s", ", ".join(said))
    return settings


def _plain(key: str, value: Any) -> Any:
    """True and False as YAML spells them; UsageError for a list where a published option has none."""
    if isinstance(value, str):
        return value.lower() if value.lower() in ("true", "false") else value
    if key.replace("-", "_") in OPTIONS:
        raise UsageError(f"{key} is {value!r:.60}: give a word or a number")
    return value


def modern_arguments(argv: Sequence[str], known: Mapping[str, object]) -> list[str]:
    """A command line in today's spelling, like ``modern_settings``; ``known``: our settings.

    >>> modern_arguments(["--matrix", "M0.npy", "--save-every=3", "--freeze-subnet"], {"save_every": 0})
    ['--save_every=3', '--graph', 'M0.npy']
    """
    result: list[str] = []
    published: dict[str, str] = {}
    rest = list(argv)
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.lstrip("-").partition("=")
        name = name.replace("-", "_")
        if not argument.startswith("-"):
            result.append(argument)
        elif name in OPTIONS:
            published[name] = value if equals else "true" if name in _FLAGS or not rest else rest.pop(0)
        elif name == "data" and (equals or rest):
            published["data"] = value if equals else rest.pop(0)
        else:
            result.append(f"--{name}{equals}{value}" if name in known else argument)
    settings = modern_settings(published)
    evaluate = ["--evaluate"] if settings.pop("evaluate", "") else []
    return result + [part for name, value in settings.items() for part in (f"--{name}", value)] + evaluate
