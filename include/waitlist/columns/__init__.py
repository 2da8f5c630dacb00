"""Tools over whole columns: text, dates and buffers. They know nothing of waiting lists."""
