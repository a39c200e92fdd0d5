"""Registration of exported models."""
