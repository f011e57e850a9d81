"""The app: settings -> services -> page; Ctrl-C or SIGTERM ends it and, unless told otherwise, its engine."""

import os
import sys

from vqa.cli.page import QUIET

if __name__ == "__main__":
    os.environ |= QUIET  # before gradio is imported
    from vqa.cli.serving import main

    sys.exit(main())
