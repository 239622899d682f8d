"""``python -m modelpool_worker``."""

from modelpool_worker.main import leave, main

leave(main())
