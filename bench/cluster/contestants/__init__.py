"""One script for each framework: the three pipelines, as its users would write them for speed."""
