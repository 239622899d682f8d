"""The command line. Thin, and imported lazily: `modelpool --help` and `modelpool submit` load neither torch nor Redis."""
