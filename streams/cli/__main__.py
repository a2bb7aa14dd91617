"""`python -m millpond.streams.cli`, where the script `millpond` is not on the path."""

import sys

from . import main

sys.exit(main())
