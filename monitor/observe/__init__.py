"""From decoded traces to observations: one step for the worker, files, the demo and re-scoring alike."""
