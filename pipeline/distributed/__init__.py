"""A run whose rows are sent by the workers of a cluster."""
