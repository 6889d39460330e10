"""What a run starts from, and how it is resumed."""
