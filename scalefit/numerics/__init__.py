"""Mathematics that knows no table: noise, proportions, censoring."""
