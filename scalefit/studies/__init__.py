"""Questions asked of a table: budgets, designs, arms, horizons, sharpening, what untrained models tell, systems."""
