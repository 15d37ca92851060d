"""Make the demo's bundle unless there is one: train a small network on scans of digits under a graph, compile it.

python demo_bundle.py FOLDER      # takes about two minutes on two cores; needs no data from anywhere
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rgp.bundle import Bundle
from rgp.train.digits import held_out_images

CONFIG = Path(__file__).parent / "configs" / "digits.yaml"
GRAPH = "affine:16_4?rotate=1"
IMAGES = 100


def main(bundle: Path) -> None:
    """Write the bundle, whole or not at all, as rgp-compile does."""
    if bundle.exists():
        print(f"{bundle}: {Bundle.open(bundle).name} is there, nothing to make")
        return
    if bundle.name != "demo":
        sys.exit(f"{bundle}: no such bundle: put one there, or ask for the one called demo, which is made here")
    with TemporaryDirectory() as folder:
        runs, images = Path(folder), Path(folder) / "held-out"
        for number, (image, label) in enumerate(held_out_images(IMAGES)):
            (images / label).mkdir(parents=True, exist_ok=True)
            image.save(images / label / f"{number:03}.png")
        run("rgp-train", "--config", str(CONFIG), "--runs", str(runs), "--name", "demo", "--graph", GRAPH)
        checkpoint = runs / "digits" / "demo" / "checkpoints" / "last.pth"
        run("rgp-compile", str(checkpoint), "-o", str(bundle), "--images", str(images), "--samples", "4")
    print(f"{bundle}: made")


def run(*command: str) -> None:
    """One command of this installation; its failure is ours."""
    print("$", *command, flush=True)
    if code := subprocess.run([Path(sys.executable).with_name(command[0]), *command[1:]], check=False).returncode:
        sys.exit(code)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
