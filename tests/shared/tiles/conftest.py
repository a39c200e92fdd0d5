from tests.pack.conftest import run, table

__all__ = ["run", "table"]
