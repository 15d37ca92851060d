"""``python -m rgp.compile``."""

import sys

from rgp.compile.cli import main

sys.exit(main())
