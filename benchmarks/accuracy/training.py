"""One run of the study: trained, evaluated on the test families, a row. Apart from the command: processes import it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.accuracy.cases import Case, graphs, let_in
from rgp.environment import environment
from rgp.train.config import TrainConfig

# the paper's 0.1 at 256 images a step, scaled to 64; bf16 is three times as fast on processors with AMX
RECIPE: dict[str, Any] = {
    **{"lr": 0.025, "batch_size": 64, "weight_decay": 5e-4, "norm_decay": False},
    **{"label_smoothing": 0.1, "amp": "bf16", "channels_last": True},
}
Row = dict[str, str]


def run(case: Case, config: TrainConfig) -> Row:
    """Train once, or go on with it, and evaluate its last weights on the test families."""
    import torch

    from rgp.train.evaluation import evaluate_checkpoint
    from rgp.train.loop import train

    let_in()
    torch.set_num_threads(1)
    with contextlib.redirect_stdout(io.StringIO()):
        result = train(config)
        test = evaluate_checkpoint(
            replace(config, data=config.data.replace("glyphs:", "glyphs-test:", 1)), result.folder.last
        )
    shutil.rmtree(result.folder.path)  # the row is what counts; its checkpoints are 130 MB
    masks = () if config.graph == "dense" else graphs(config.graph)
    return {
        "density": case.density,
        "case": case.name,
        "graph": config.graph,
        "seed": str(config.seed),
        "macs": str(result.cost.macs),
        "dense_macs": str(result.cost.dense_macs),
        "parameters": str(result.cost.parameters),
        "aspl": f"{masks[0].aspl:.4f}" if len(masks) == 1 else "",
        **{
            f"{part}_{name}": f"{of[name]:.4f}"
            for part, of in (("val", result.last), ("test", test))
            for name in FIGURES
        },
        "seconds": f"{result.seconds:.1f}",
        "settings": settings(config),
        "environment": json.dumps(environment()),
    }


FIGURES = ("top1", "loss")
_DECIDES = ("epochs", "match_macs", "init", "form", "device", *RECIPE)


def settings(config: TrainConfig) -> str:
    """What decides the run beside case, graph and seed; of the images by checksum, as folders have any name."""
    about = Path(config.data.partition(":")[2]) / "glyphs.json"
    images = hashlib.sha256(about.read_bytes()).hexdigest()
    return json.dumps({name: getattr(config, name) for name in _DECIDES} | {"images": images})
