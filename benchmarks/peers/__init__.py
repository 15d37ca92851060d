"""How fast the compiled network is beside what a user would pick instead, all interleaved in one run."""
