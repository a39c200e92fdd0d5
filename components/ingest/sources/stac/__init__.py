"""STAC APIs, static catalogs and STAC-GeoParquet."""
