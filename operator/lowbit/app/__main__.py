"""python -m lowbit.app: the operator's process."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys

from lowbit.app.logs import set_up_logging
from lowbit.app.operator import run_operator
from lowbit.app.settings import SettingsError, from_process
from lowbit.decide.reconcile import decide
from lowbit.kube.connect import NoCluster
from lowbit.watching.ended import PartEnded

RARELY = (10_000, 20, 50)
"""Thresholds of the garbage collector: new objects, then collections of the younger generation."""


def main() -> int:
    """Run until told to stop. Returns 0 after a stop, 1 if it could not start or a task ended."""
    settings = from_process(sys.argv[1:])
    set_up_logging(settings.log_level, settings.log_format)
    # Imported modules stay for ever: without this, each full collection scans all of them, for 50 ms.
    gc.freeze()
    # Hardly any object is in a reference cycle: searching at every 700 new objects would take a tenth of all time.
    gc.set_threshold(*RARELY)
    try:
        asyncio.run(run_operator(settings, decide))
    except (NoCluster, SettingsError, PartEnded, OSError) as error:
        logging.getLogger("lowbit").error("%s", error)  # noqa: TRY400 - the message says it
        return 1
    except Exception:
        logging.getLogger("lowbit").exception("the operator has ended")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
