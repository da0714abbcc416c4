"""From decoded records to one durable checkpoint."""
