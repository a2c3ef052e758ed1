"""The readers' side of the wire."""
