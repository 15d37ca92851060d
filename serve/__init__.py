"""rgp.serve."""
