"""Run script mode: the arbiter and the worker of ``nodecluster server.py``."""
