"""Fast tests: tables and properties, no processes."""
