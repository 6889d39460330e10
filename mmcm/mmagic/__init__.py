"""What is only for MMagic."""
