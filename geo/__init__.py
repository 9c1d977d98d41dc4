"""Territory, sites, cells, fences and the tables people move by, built once from files."""
