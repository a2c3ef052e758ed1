"""Measures this library beside its peers, on the same servers and in the same run.

``make bench`` measures everything and writes docs/benchmarks.md; ``make bench-quick BASE=commit``
compares the working tree with a commit in about a minute. The modules in ``workloads`` say how each
figure is measured.
"""
