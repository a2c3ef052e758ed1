"""The measured web server, the applications that it serves, and the measured client.

They import uvicorn and what the applications are made of; only the ``serve`` command needs them.
"""
