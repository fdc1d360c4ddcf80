"""Profiles out of the CRM into files."""
