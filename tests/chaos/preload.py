"""Everything that the steps import, once, in the process from which they are forked."""

import warnings

warnings.filterwarnings("ignore")

import pycurl  # noqa: E402, F401 - before TensorFlow, which hides pycurl's own libcurl

from tilepipe.components.shared.contracts.model_file import load_tensorflow  # noqa: E402

load_tensorflow()

import mlflow  # noqa: E402, F401

import tilepipe.components.ingest.ingest  # noqa: E402
import tilepipe.components.pack.merge  # noqa: E402
import tilepipe.components.pack.pack  # noqa: E402
import tilepipe.components.prepare.prepare  # noqa: E402
import tilepipe.components.train.train  # noqa: E402, F401
