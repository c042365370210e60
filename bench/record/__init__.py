"""`byhand record`: what a small network reaches in the shortest time, for others to check."""
