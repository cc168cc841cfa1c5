"""``python -m identbox``."""

from identbox.commands.main import main

main()
