"""Benchmarks of byhand and other libraries: `byhand bench`. README.md explains the command."""
