"""Questions asked of a table: budgets, designs, arms, horizons, sharpening, systems."""
