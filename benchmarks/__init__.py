"""How fast the pipeline is, compared with a raw read: ``make bench``. ``docs/performance.md`` says how to read the result."""
