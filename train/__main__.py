"""`python -m rgp.train` is `rgp-train`."""

import sys

from rgp.train.cli import main

sys.exit(main())
