"""``python -m resumable_stream``: the command line."""

from __future__ import annotations

import sys

from resumable_stream._cli.main import main

sys.exit(main())
