"""HTML pages that need no network: a template of this folder, filled in."""

from __future__ import annotations

from importlib import resources
from typing import Any

import jinja2


def page(template: str, **values: Any) -> bytes:
    """Fill in ``template`` (page.html is the frame of all); text is escaped, a name it lacks is our bug."""
    folder = resources.files("rgp.train")
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FunctionLoader(lambda name: folder.joinpath(name).read_text()),
    )
    return environment.get_template(template).render(**values).encode()
