"""Workers on a broker beside other frameworks on the same broker and data: `python -m bench.cluster`."""
