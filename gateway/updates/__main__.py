"""What lamppost-update.service runs as root."""

import sys

from gateway.updates.service import main

sys.exit(main())
