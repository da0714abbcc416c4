"""Records in, traces out: Kafka, the wire formats and what is done with bad input."""
