"""Whether accepted rows were applied: drawn, read back, compared."""
