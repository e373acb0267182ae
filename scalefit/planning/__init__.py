"""What a law says about sizes and budgets nobody has run."""
