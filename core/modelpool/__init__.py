"""What every part of modelpool agrees on: the ModelPool resource, jobs, the queue's port, documents, store and metrics.

Nothing here imports torch, FastAPI or kopf. The operator, the workers and the API import this package and never each
other.
"""

__version__ = "0.1.0"
