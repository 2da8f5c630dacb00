"""The release of a verified batch: gates measure it, a person decides, and a proof checks the released rows."""
