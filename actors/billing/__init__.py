"""Rating, balances, allowances and the life of accounts."""
