"""The interval at which beat sends a task, whatever becomes of the clock."""

from datetime import datetime

from celery.schedules import schedstate, schedule


class Interval(schedule):  # type: ignore[misc]
    """Celery's interval, due also where the last run lies ahead: the clock was set back since.

    Celery would wait until the clock has come to that time again, for an hour where it was an hour ahead. Beat keeps
    the time of the last run in a file, so that a restart would not help.
    """

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Return whether it is time, and the seconds until it is next."""
        if last_run_at > self.now():
            return schedstate(is_due=True, next=self.seconds)
        return super().is_due(last_run_at)
