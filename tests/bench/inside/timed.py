"""timed FILE COMMAND...: run a command, and write the seconds, CPU seconds and largest memory that it took to FILE."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

begin = time.monotonic()
process = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(process.pid, 0)
code = os.waitstatus_to_exitcode(status)
taken = {
    "seconds": time.monotonic() - begin,
    "cpu_seconds": usage.ru_utime + usage.ru_stime,
    "peak_mib": usage.ru_maxrss / 1024,
}
Path(sys.argv[1]).write_text(json.dumps(taken))
sys.exit(code)
