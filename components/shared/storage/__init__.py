"""Reading and writing of local, S3 and web addresses."""
