"""Checks of an installation, each of which changes nothing: one file a part, and `all_findings` over them."""
