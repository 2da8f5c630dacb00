"""Swedish words for everything that people read."""
