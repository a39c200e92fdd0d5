"""Judge a registered version and make it the champion."""
