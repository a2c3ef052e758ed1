"""One side of the wire: the producer's."""
