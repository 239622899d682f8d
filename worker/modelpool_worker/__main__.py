"""``python -m modelpool_worker``."""

import sys

from modelpool_worker.main import main

sys.exit(main())
