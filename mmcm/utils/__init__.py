"""Files, checks, errors and other tools that know nothing of models."""
