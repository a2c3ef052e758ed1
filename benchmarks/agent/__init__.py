"""The code of the measured processes, each of which runs in its contender's own environment.

It imports only the standard library; each adapter also imports the one package that it adapts.
"""
