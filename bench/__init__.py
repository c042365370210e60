"""Benchmarks against other libraries: `byhand bench --help`; how they are made is in README.md."""
