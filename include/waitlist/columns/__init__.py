"""Tools for whole columns: texts, dates and Arrow buffers. Nothing here is specific to waiting lists."""
