"""The reference pages of the site, written from the code when the site is built: none is kept in the repository.

``python -m docs.reference FOLDER`` writes them without the site.
"""

from __future__ import annotations

from docs.reference import commands, formats, http, settings


def pages() -> dict[str, str]:
    """Every reference page: its path under docs/, and its Markdown."""
    return {
        **{f"reference/{name}.md": text for name, text in commands.pages().items()},
        "reference/training-settings.md": settings.training(),
        "reference/service-settings.md": settings.service(),
        "reference/checkpoint.md": formats.checkpoint(),
        "reference/run.md": formats.run(),
        "reference/bundle.md": formats.bundle(),
        "reference/http.md": http.page(),
    }
