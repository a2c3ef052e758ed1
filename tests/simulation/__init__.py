"""The real core on a simulated broker: seeded scheduling, virtual time, injected faults.

``clock`` is the event loop and the machines on it, ``broker`` and ``journal`` the server,
``adapters`` the ways to it. ``plan`` and ``journal_plan`` draw from a seed what will happen.
``sources`` produces text and records the truth, ``actors`` and ``erasing`` use the library,
``weather`` breaks things, ``oracle`` and ``journal_oracle`` judge, and ``world`` runs one seed.
"""
