"""Formats of data sets: folders, archives and pickles, and what the names in them mean."""
