"""The real core on a simulated broker: seeded scheduling, virtual time, injected faults.

``clock`` is the event loop and the machines on it, ``broker`` the server, ``adapters`` the ways to
it. ``plan`` draws from a seed what will happen. ``sources`` produces text and records the truth,
``actors`` use the library, ``weather`` breaks things, ``oracle`` judges, and ``world`` runs one
seed.
"""
