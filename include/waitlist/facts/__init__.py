"""The mapping files that leads edit, and their loader, which reports every fault with its line."""
