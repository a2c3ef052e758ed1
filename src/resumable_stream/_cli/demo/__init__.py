"""The demonstrations: in a terminal, and on a page."""
