"""Benchmarks: ratios to something measured in the same run, printed as tables; `python -m tests.bench`."""
