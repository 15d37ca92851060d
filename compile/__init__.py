"""rgp.compile."""
