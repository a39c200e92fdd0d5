"""tilepipe's version, which is also the tag of its images."""

VERSION = "0.1.0"
