"""Looks on at the snapshot and at the staged rows with Great Expectations; never changes a post."""
