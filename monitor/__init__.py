"""rlhf-monitor: the watch over an RLHF-tuned language model in production."""

__version__ = "0.1.0"
