"""How fast the pipeline is beside what it must do anyway: ``make bench``; how to read it: ``docs/performance.md``."""
