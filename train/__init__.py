"""`rgp-train`: configuration, data, recipe, loop, tracking."""
