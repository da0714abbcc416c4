"""The queue of traces that people judge: who is shown what, what they answered, and files for other tools."""
