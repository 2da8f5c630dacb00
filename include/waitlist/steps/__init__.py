"""The steps that the DAGs run, in their order."""
