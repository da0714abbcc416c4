"""Watches one local run from its start to its end: `python local_watch.py FOLDER COMMAND...`.

It stays when the daemon that started it dies. It shows that the run lives by touching `beat`,
and writes how it ended into `exit_code`, over the blanks that stand there: a full disk has room
for that. A run whose folder was removed is of no use to anybody, and is ended.
"""

import contextlib
import os
import signal
import subprocess
import sys

BEAT_SECONDS = 2.0
EXIT_CODE_CHARACTERS = 8


def main(folder: str, command: list[str]) -> int:
    if sys.stdin.buffer.read(1) != b"1":
        return 1  # the daemon died before it noted which process this is: nobody would find the run
    # The group is told to end as a whole. This process stays until the run has ended, and notes how.
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    child = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL)
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = child.wait(timeout=BEAT_SECONDS)
            break
        try:
            os.utime(os.path.join(folder, "beat"))
        except OSError:
            os.killpg(0, signal.SIGKILL)
    with contextlib.suppress(OSError), open(os.path.join(folder, "exit_code"), "r+") as file:
        file.write(str(code).ljust(EXIT_CODE_CHARACTERS))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
