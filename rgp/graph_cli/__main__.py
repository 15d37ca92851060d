"""``python -m rgp.graph_cli`` is ``rgp-graph``."""

from rgp.graph_cli import main

raise SystemExit(main())
