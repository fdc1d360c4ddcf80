"""Only what changed: digests, state, plans, and their application."""
