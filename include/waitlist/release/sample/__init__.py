"""The side-by-side sample: the posts that people compare before a decision and after the load, and what follows."""
