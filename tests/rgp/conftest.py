"""What the tests of the shared vocabulary share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def shared_data() -> Path:
    """The published matrices and checkpoints, which lie beside the checkout and are no part of it."""
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the published matrices and checkpoints (../shared/data) are not on this machine")
    return folder
