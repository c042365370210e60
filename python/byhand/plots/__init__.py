"""Pictures by matplotlib: curves of training. They need byhand[cli]."""
