"""How each kind of signal is bet on and told: one file per kind, and the table of them."""
