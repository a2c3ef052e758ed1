"""The demo in the browser: a page, a load balancer that can be told to cut, three instances.

Each instance is what a user would write: an endpoint that streams an answer with ``sse_response``.
With a broker each runs in a process of its own; on ``memory://`` they share this one.
"""
