"""The mapping files that leads edit, read by one loader that names every fault with its line."""
