"""`tilepipe run`: a compiled pipeline on this machine."""
