"""``python -m rgp.serve``."""

import sys

from rgp.serve.cli import main

if __name__ == "__main__":
    sys.exit(main())
