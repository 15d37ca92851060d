"""The look that the reports' pictures share, and their form: SVG text to put into a page, light or dark."""

from __future__ import annotations

import io
import warnings
from typing import Any

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

GREY, ACCENT = "#8a8a8a", "#d9662c"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "rgp",  # the same figures give the same file
    "font.size": 10,
    "text.color": GREY,
    "axes.labelcolor": GREY,
    "axes.edgecolor": GREY,
    "axes.titlecolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
}


def svg_text(figure: Figure) -> str:
    """The <svg> element of ``figure``, without a header or a date."""
    FigureCanvasSVG(figure)
    file = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+")  # a name may have letters that the font lacks
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return file.getvalue()[file.getvalue().index("<svg") :]
