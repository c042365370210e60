"""Benchmarks beside other libraries: the command `byhand bench`, which README.md explains."""
