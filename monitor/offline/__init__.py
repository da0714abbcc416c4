"""The daemon's pipeline over files, without Kafka or a server."""
