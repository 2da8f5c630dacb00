"""The speed of the pipeline, compared with a raw read: ``make bench``; how to read it: ``docs/performance.md``."""
