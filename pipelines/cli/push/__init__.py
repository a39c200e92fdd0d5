"""Upload of local tiles to a bucket (`tilepipe push`)."""
