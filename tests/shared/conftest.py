from tests.support.s3_stores import minio_server, s3_server, s3_servers

__all__ = ["minio_server", "s3_server", "s3_servers"]
