"""`python -m modelpool_cli`."""

from modelpool_cli.main import main

main()
