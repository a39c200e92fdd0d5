"""`tilepipe push`: upload of local tiles to a bucket."""
