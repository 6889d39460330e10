"""Formats of data sets: folders, zip files and pickles, and the names in them."""
