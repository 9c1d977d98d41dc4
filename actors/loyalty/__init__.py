"""The loyalty role: budgets, stocks, prizes and teams, shared by all lines."""
