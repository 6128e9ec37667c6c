"""`python -m odl` is the `odl` command."""

import sys

from odl.cli import main

sys.exit(main())
