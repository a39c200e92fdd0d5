"""Runs a STAC API over GeoParquet on this machine; in the environment of stac_server_requirements.txt.

Arguments: a file with the list of collections, and the port.
"""

import logging
import sys

import rustac
import rustac_duckdb_extensions
import uvicorn
from stac_fastapi.geoparquet.api import create
from stac_fastapi.geoparquet.settings import Settings


def main(collections: str, port: int) -> None:
    client = rustac.DuckdbClient(
        extension_directory=rustac_duckdb_extensions.extension_directory(), install_extensions=False
    )
    settings = Settings(
        stac_fastapi_landing_id="api-of-the-tests",
        stac_fastapi_title="STAC API of the tests",
        stac_fastapi_description="tilepipe's sample",
        stac_fastapi_collections_href=collections,
    )
    logging.basicConfig(level=logging.ERROR)
    uvicorn.run(create(settings, client).app, host="127.0.0.1", port=port, log_level="error")


main(sys.argv[1], int(sys.argv[2]))
