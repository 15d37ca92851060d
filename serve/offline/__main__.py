"""``rgp-classify``, and ``python -m rgp.serve.offline``."""

import sys
from collections.abc import Sequence

from rgp.cli import guarded


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``rgp-classify``; return its exit code."""
    return guarded(_run, argv, "rgp-classify")


def _run(argv: Sequence[str] | None) -> None:
    from rgp.serve.offline.cli import run  # here, so that an installation without rgp[classify] says what is missing

    run(argv)


if __name__ == "__main__":
    sys.exit(main())
