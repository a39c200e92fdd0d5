from tests.support.minio_server import minio_server

__all__ = ["minio_server"]
