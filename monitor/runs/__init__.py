"""The contract between the daemon and one training run: files in, files out.

The daemon writes a folder with `spec.json` (a `RunSpec`) and the data files it
names; `python -m retrain --spec FOLDER/spec.json` writes `progress.json` while
it works, and at its end `result.json` and the candidate beside it. A run needs
no Kafka, database or API.
"""
