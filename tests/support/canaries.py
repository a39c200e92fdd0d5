"""Credentials planted in every variable that a step takes them from, to be looked for wherever a step writes."""

CANARY = "canary4711"
SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "TILEPIPE_STAC_TOKEN",
    "TILEPIPE_STAC_PASSWORD",
    "WANDB_API_KEY",
    "KFP_TOKEN",
    "PGPASSWORD",
)


def planted(*without: str) -> dict[str, str]:
    """Return the variables, each with a value that contains the canary.

    Args:
        *without: variables that a test needs for something else.
    """
    return {name: CANARY + name for name in SECRETS if name not in without}
