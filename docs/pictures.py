"""``python -m docs.pictures BUNDLE FOLDER``: the pictures of a bundle's report as files, for a page to show.

``network.svg``: the network in running order, coloured by lowering. ``support.svg``: who reads whom in its largest
lowered layer, as trained and as compiled.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from rgp.files import written_whole

HEADINGS = {"The network": "network.svg", "Who reads whom": "support.svg"}
"""Of the report, and the file that the first picture under each becomes."""


def extract(bundle: Path, folder: Path) -> None:
    """Write the pictures of ``bundle``'s ``report.html`` into ``folder``."""
    report = (bundle / "report.html").read_text()
    for heading, name in HEADINGS.items():
        found = re.search(rf"<h2>{heading}</h2>.*?(<svg.*?</svg>)", report, re.DOTALL)
        assert found, f"{bundle}/report.html has no picture under {heading}"
        with written_whole(folder / name) as file:
            file.write(found[1].encode() + b"\n")


if __name__ == "__main__":
    extract(Path(sys.argv[1]), Path(sys.argv[2]))
