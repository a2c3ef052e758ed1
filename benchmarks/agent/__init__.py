"""What runs in the measured processes, each in its contender's own environment.

Only the standard library is imported here, and by each adapter the one package that it adapts.
"""
