"""The command line: the functions behind `tools/`, `demo/` and the console scripts."""
