"""Benchmarks: each measures Portway beside its rivals in one run and prints ratios."""
