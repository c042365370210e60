"""`byhand bench sweep`: the speed of every kernel over its sizes, to find sizes that are slow."""
