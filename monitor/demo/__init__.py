"""The whole program on embedded parts, with generated traffic."""
