"""The layout that all tiles of a data set share, and the settings of reading them."""
