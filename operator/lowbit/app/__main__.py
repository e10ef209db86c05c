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
"""Objects, and collections of the younger generation, until the garbage collector looks at a generation."""


def main() -> int:
    """Run until told to stop. 0 after a stop, 1 when it could not start or a part of it ended."""
    settings = from_process(sys.argv[1:])
    set_up_logging(settings.log_level, settings.log_format)
    # What was imported stays for ever: without this, a full collection looks through all of it, for 50 ms.
    gc.freeze()
    # Hardly anything here is held by a cycle: to look for those at every 700 new objects takes a tenth of all the time.
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
