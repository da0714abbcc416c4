"""What a pod of the tests runs: `retrain.pod`, with the training program that stands in for `python -m retrain`."""

from __future__ import annotations

import sys
from pathlib import Path

import retrain.pod
import retrain.pod_store

PROGRAM = Path(__file__).with_name("training_program.py")

if __name__ == "__main__":
    retrain.pod.ROUND_SECONDS = 0.1
    retrain.pod_store.KEEP_SECONDS = 0.2
    retrain.pod_store.QUIET_SECONDS = 0.1
    sys.exit(retrain.pod.main(sys.argv[2:], command=(sys.executable, str(PROGRAM), sys.argv[1])))
