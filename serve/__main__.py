"""``rgp-serve``, and ``python -m rgp.serve``."""

import sys
from collections.abc import Sequence

from rgp.cli import guarded


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``rgp-serve``; return its exit code."""
    return guarded(_run, argv, "rgp-serve")


def _run(argv: Sequence[str] | None) -> None:
    from rgp.serve.cli import serve  # here, so that an installation without rgp[serve] says what is missing

    serve(argv)


if __name__ == "__main__":
    sys.exit(main())
