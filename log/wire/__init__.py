"""The Kafka protocol: messages as typed classes, and the bytes they travel as.

    messages/       one file per API: what is asked and answered, in all versions
    schema.py       how such a class is described
    readers.py      what is compiled of it to read a version; writers.py: to write one; source.py,
                    primitives.py: what both have in common, and what their code calls
    api.py          an API, and reading and writing its messages with the errors they may have
    frames.py       messages on a connection: lengths and headers
    error_codes.py  what responses say went wrong

Handlers and coordinators need to know only `messages/`, the error codes and, for the records that
coordinators keep in the same encoding, `schema.py` and `api.py`.
"""
