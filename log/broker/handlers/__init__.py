"""One file per API: what a request of it does to the node.

A handler is called with the node, the request and who sent it. It returns the response; or, when it has
to wait, it is a generator (`waits.py`) that returns the response in the end. A request is answered
with error codes: an exception that leaves a handler is a fault of ours, or a failed disk.
"""
