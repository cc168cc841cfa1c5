"""``python -m identbox``."""

from identbox.cli import main

main()
