"""Every step of one deployment."""

import datetime as dt
from functools import partial

from waitlist.steps import order
from waitlist.steps.night import Night
from waitlist.steps.receipts import Receipts
from waitlist.steps.run import Request, Run
from waitlist.steps.upkeep import Upkeep
from waitlist.steps.wave import Wave


class Pipeline(Night, Wave, Upkeep, Receipts):
    """The steps of every DAG, each idempotent."""

    def take_night(self, request: Request, *, now: dt.datetime) -> Run:
        """Run the steps of a night one after the other, without Airflow, up to a verified batch.

        Args:
            request: what the run was asked for.
            now: the moment, for the audit trail.

        Raises:
            WaitlistError: the error of the step that failed.
        """
        opened, *others = order.NIGHT
        run: Run = getattr(self, opened.name)(request, now=now)
        numbers: list[int] = []
        for step in others:
            take = partial(getattr(self, step.name), run, **({"now": now} if step.timed else {}))
            if step.mapped:
                for number in numbers:
                    take(number)
            elif step.name == "plan_extract":
                numbers = take()
            else:
                take()
        return run
