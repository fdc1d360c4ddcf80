"""Two sides compared, profile by profile and field by field."""
