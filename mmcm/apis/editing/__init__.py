"""Edit images."""
