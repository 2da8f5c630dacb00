"""Every step of one deployment."""

from waitlist.steps.night import Night
from waitlist.steps.upkeep import Upkeep
from waitlist.steps.wave import Wave


class Pipeline(Night, Wave, Upkeep):
    """The steps of every DAG, each idempotent."""
