"""What a graph does to accuracy, on glyphs: see ``benchmarks.accuracy.__main__``."""
