"""From a verified batch to released rows: the gates are measured, a person decides, the release is proved."""
