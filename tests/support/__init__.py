"""Helpers for tests: servers and users to start, worlds in virtual time, faults to inject."""
