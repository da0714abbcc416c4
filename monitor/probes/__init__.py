"""Fixed questions that a model is asked: suites, how an answer is judged, and the runs against the live model."""
