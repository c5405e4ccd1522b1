"""Run `celery flower`; with basic authentication its metrics ask for the password as well.

Flower 2.2 shows them to everybody: names of workers and of tasks, and how many failed.
"""

import sys
from typing import Any, cast

from celery.__main__ import main
from flower.views.monitor import Metrics
from tornado.web import authenticated


def close_metrics() -> None:
    """Have `/metrics` ask, as Flower's pages do; `/healthcheck`, which says nothing, stays open for probes."""
    cast(Any, Metrics).get = authenticated(Metrics.get)


if __name__ == "__main__":
    close_metrics()
    sys.argv[0] = "celery"
    sys.exit(main())
