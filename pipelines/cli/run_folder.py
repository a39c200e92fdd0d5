"""The folder of local runs and their MLflow store, which all commands use unless `--folder` names another."""

from pathlib import Path

DEFAULT_FOLDER = Path("runs")
