"""rgp.train."""
