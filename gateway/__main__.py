"""`python -m gateway` is `canary`."""

import sys

from gateway.cli import main

sys.exit(main())
