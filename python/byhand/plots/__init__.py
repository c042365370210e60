"""Curves of training, drawn by matplotlib. They need `byhand[cli]`."""
