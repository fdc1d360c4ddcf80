"""What makes a cell an identifier of a profile, and how it is written."""
