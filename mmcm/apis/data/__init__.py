"""Find, pack and export data sets."""
