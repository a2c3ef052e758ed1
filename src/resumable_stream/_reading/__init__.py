"""The other side of the wire: the readers'."""
