"""The year 2013 of New York's airports as a stream: see `pipeline.py` for what it computes.

python -m examples.flights              everything, in one process, with a report at the end
millpond worker examples.flights:app    the pipeline alone
"""

from .pipeline import make_pipeline

app = make_pipeline().app
