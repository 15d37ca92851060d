"""Load on a running service, open loop: ``rgp-bench serve``."""
