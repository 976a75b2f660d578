"""``python -m smtp_preflight.cli``."""

import sys

from smtp_preflight.cli import main

sys.exit(main())
