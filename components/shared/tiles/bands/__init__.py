"""Band names: their order in the files and their check against the pixels."""
