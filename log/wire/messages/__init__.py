"""One file per API: what its request and response consist of, in all versions."""
