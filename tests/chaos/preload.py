"""Everything that the steps import, once, in the process from which they are forked."""

import warnings

warnings.filterwarnings("ignore")

import pycurl  # noqa: E402, F401 - before TensorFlow, which hides pycurl's own libcurl

from tilepipe.components.shared.contracts.model_file import load_tensorflow  # noqa: E402

load_tensorflow()

import mlflow  # noqa: E402, F401

import tilepipe.components.evaluate.evaluate  # noqa: E402
import tilepipe.components.export.export  # noqa: E402
import tilepipe.components.ingest.ingest  # noqa: E402
import tilepipe.components.pack.merge  # noqa: E402
import tilepipe.components.pack.pack  # noqa: E402
import tilepipe.components.plan.plan  # noqa: E402
import tilepipe.components.predict_scenes.predict_scenes  # noqa: E402
import tilepipe.components.predict_tiles.collection  # noqa: E402
import tilepipe.components.prepare.prepare  # noqa: E402
import tilepipe.components.refit.refit  # noqa: E402
import tilepipe.components.select.select  # noqa: E402
import tilepipe.components.train.train  # noqa: E402
import tilepipe.components.tune.tune  # noqa: E402, F401
