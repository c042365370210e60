"""Files: written whole or not at all, and tensors whose every byte is checked."""
